{{- /* The workers, each merged with workerDefaults, as {"workers": […]}. */}}
{{- define "sarlens.workers" -}}
{{- $all := list -}}
{{- $common := dict "listenAddress" .Values.listenAddress "priorityScheduling" ((.Values.settings.worker | default dict).priority_scheduling | default false) -}}
{{- range .Values.workers -}}
{{- $all = append $all (mergeOverwrite (deepCopy $.Values.workerDefaults) . $common) -}}
{{- end -}}
{{- dict "workers" $all | toJson -}}
{{- end }}

{{- /* Names of the models whose workers may be scaled to zero, and the longest time to load one:
{"models": […], "seconds": n}. */}}
{{- define "sarlens.atZero" -}}
{{- $models := list -}}
{{- $seconds := 0 -}}
{{- range (include "sarlens.workers" . | fromJson).workers -}}
{{- if and .autoscaling.enabled (eq (int .autoscaling.minReplicas) 0) -}}
{{- $models = concat $models (include "sarlens.worker.models" . | fromJsonArray) -}}
{{- $seconds = max $seconds .startupSeconds -}}
{{- end -}}
{{- end -}}
{{- dict "models" $models "seconds" $seconds | toJson -}}
{{- end }}

{{- /* Names of the models that a worker serves. */}}
{{- define "sarlens.worker.models" -}}
{{- $models := list (default .name .servedModelName) -}}
{{- range .loraAdapters -}}
{{- $models = append $models .name -}}
{{- end -}}
{{- toJson $models -}}
{{- end }}

{{- /* Command line of a worker: the options that the gateway requires, then extraArgs. */}}
{{- define "sarlens.worker.args" -}}
{{- toYaml (concat (include "sarlens.worker.switches" . | fromYamlArray) .extraArgs) }}
{{- end }}

{{- /* Options of service/sarlens/devstack/vllm.py, and those that follow from the worker's values. */}}
{{- define "sarlens.worker.switches" -}}
{{- $args := list "--model" .model "--served-model-name" (default .name .servedModelName) "--host" .listenAddress "--port" "8000" }}
{{- $args = concat $args (list "--api-server-count" "1" "--allowed-media-domains" "none.invalid") }}
{{- $args = concat $args (list "--enable-request-id-headers" "--enable-prompt-tokens-details" "--disable-uvicorn-access-log") }}
{{- $args = concat $args (list "--enable-prefix-caching" "--mm-processor-cache-gb" (toString .imageCacheGb)) }}
{{- $args = concat $args (list "--shutdown-timeout" (toString .shutdownTimeoutSeconds)) }}
{{- $args = concat $args (list "--tensor-parallel-size" (toString .tensorParallelSize)) }}
{{- if .priorityScheduling }}
{{- $args = concat $args (list "--scheduling-policy" "priority") }}
{{- end }}
{{- if .loraAdapters }}
{{- $count := ternary .maxLoras (min 8 (len .loraAdapters)) (gt (int .maxLoras) 0) }}
{{- $args = concat $args (list "--enable-lora" "--max-loras" (toString $count) "--max-lora-rank" (toString .maxLoraRank) "--lora-modules") }}
{{- range .loraAdapters }}
{{- $args = append $args (printf "%s=%s" .name .path) }}
{{- end }}
{{- end }}
{{- toYaml $args }}
{{- end }}

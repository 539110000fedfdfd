{{- /* The workers, each complete with what it leaves to the defaults, as {"workers": […]}. */}}
{{- define "sarlens.workers" -}}
{{- $all := list -}}
{{- range .Values.workers -}}
{{- $all = append $all (mergeOverwrite (deepCopy $.Values.workerDefaults) .) -}}
{{- end -}}
{{- dict "workers" $all | toJson -}}
{{- end }}

{{- /* What a schema cannot say: how values stand to each other. */}}
{{- define "sarlens.refusals" -}}
{{- if not (or .Values.keys.secretName .Values.keys.open) }}
{{- fail "keys: name a Secret with API keys in keys.secretName (docs/keys.md says how to make one), or set keys.open to serve everybody" }}
{{- end }}
{{- if and .Values.gateway.grpc.clientCaSecretName (not .Values.gateway.grpc.tlsSecretName) }}
{{- fail "gateway.grpc.clientCaSecretName needs gateway.grpc.tlsSecretName" }}
{{- end }}
{{- include "sarlens.refuseRange" (dict "at" "gateway.autoscaling" "given" .Values.gateway.autoscaling) }}
{{- if not (or .Values.workers (dig "worker" "urls" (list) .Values.settings)) }}
{{- fail "workers: list some, or name those that run elsewhere in settings.worker.urls" }}
{{- end }}
{{- $seen := dict }}
{{- range $index, $worker := (include "sarlens.workers" . | fromJson).workers }}
{{- $at := printf "workers[%d] (%s)" $index $worker.name }}
{{- if hasKey $seen $worker.name }}
{{- fail (printf "%s: another worker has this name" $at) }}
{{- end }}
{{- $_ := set $seen $worker.name true }}
{{- include "sarlens.refuseWorker" (dict "at" $at "worker" $worker "policy" $.Values.networkPolicy.enabled) }}
{{- end }}
{{- end }}

{{- define "sarlens.refuseWorker" -}}
{{- $local := hasPrefix "/" .worker.model }}
{{- if gt (int .worker.tensorParallelSize) (max 1 (int .worker.gpu.count)) }}
{{- fail (printf "%s: tensorParallelSize %v is more than gpu.count %v" .at .worker.tensorParallelSize .worker.gpu.count) }}
{{- end }}
{{- if and .policy (not $local) (not .worker.egress) }}
{{- fail (printf "%s: the model %s is downloaded, but egress allows nothing; list DNS and port 443 of where it lies" .at .worker.model) }}
{{- end }}
{{- if and .worker.autoscaling.enabled (not .worker.autoscaling.prometheus) }}
{{- fail (printf "%s: autoscaling.prometheus has to name a Prometheus" .at) }}
{{- end }}
{{- include "sarlens.refuseRange" (dict "at" (printf "%s: autoscaling" .at) "given" .worker.autoscaling) }}
{{- end }}

{{- define "sarlens.refuseRange" -}}
{{- if gt (int .given.minReplicas) (int .given.maxReplicas) }}
{{- fail (printf "%s.minReplicas %v is more than maxReplicas %v" .at .given.minReplicas .given.maxReplicas) }}
{{- end }}
{{- end }}

{{- /* The command line of a worker: the switches of service/sarlens/workers/vllm.py, then what the values say. */}}
{{- define "sarlens.worker.args" -}}
{{- $args := list "--model" .model "--served-model-name" (default .name .servedModelName) "--host" "0.0.0.0" "--port" "8000" }}
{{- $args = concat $args (list "--api-server-count" "1" "--allowed-media-domains" "none.invalid") }}
{{- $args = concat $args (list "--enable-request-id-headers" "--enable-prompt-tokens-details" "--disable-uvicorn-access-log") }}
{{- $args = concat $args (list "--enable-prefix-caching" "--mm-processor-cache-gb" (toString .imageCacheGb)) }}
{{- $args = concat $args (list "--shutdown-timeout" (toString .shutdownTimeoutSeconds)) }}
{{- if gt (int .tensorParallelSize) 1 }}
{{- $args = concat $args (list "--tensor-parallel-size" (toString .tensorParallelSize)) }}
{{- end }}
{{- if .loraAdapters }}
{{- $args = concat $args (list "--enable-lora" "--lora-modules") }}
{{- range .loraAdapters }}
{{- $args = append $args (printf "%s=%s" .name .path) }}
{{- end }}
{{- end }}
{{- toYaml (concat $args .extraArgs) }}
{{- end }}

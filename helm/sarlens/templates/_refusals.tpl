{{- /* What a schema cannot say: how values stand to each other. */}}
{{- define "sarlens.refusals" -}}
{{- if not (or .Values.keys.secretName .Values.keys.open) }}
{{- fail "keys: name a Secret with API keys in keys.secretName (docs/keys.md says how to make one), or set keys.open to serve everybody" }}
{{- end }}
{{- if and .Values.gateway.grpc.clientCaSecretName (not .Values.gateway.grpc.tlsSecretName) }}
{{- fail "gateway.grpc.clientCaSecretName needs gateway.grpc.tlsSecretName" }}
{{- end }}
{{- include "sarlens.refuseRange" (dict "at" "gateway.autoscaling" "given" .Values.gateway.autoscaling) }}
{{- include "sarlens.refuseSurveys" . }}
{{- include "sarlens.refuseRoutes" . }}
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
{{- $given := include "sarlens.worker.switches" .worker | fromYamlArray }}
{{- range .worker.extraArgs }}
{{- $switch := splitList "=" . | first | replace "_" "-" | replace "--no-" "--" }}
{{- if and (hasPrefix "--" $switch) (has $switch $given) }}
{{- fail (printf "%s: extraArgs may not hold %s, which the chart gives" $.at $switch) }}
{{- end }}
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

{{- /* Surveys asked for of one gateway have to be known to the others. */}}
{{- define "sarlens.refuseSurveys" -}}
{{- $shared := index .Values.secrets "survey.database" }}
{{- if and $shared .Values.surveys.size }}
{{- fail "surveys.size: secrets.survey.database keeps the surveys; leave one of the two out" }}
{{- end }}
{{- if and (include "sarlens.gateway.several" .) (not $shared) (not .Values.surveys.unshared) }}
{{- fail "secrets.survey.database has to name a PostgreSQL, for there may be several gateways, and each would know its own surveys alone; where nobody asks for any, set surveys.unshared" }}
{{- end }}
{{- if and (include "sarlens.gateway.several" .) .Values.surveys.size }}
{{- fail "surveys.size: several gateways cannot share a file; name a PostgreSQL in secrets.survey.database" }}
{{- end }}
{{- end }}

{{- define "sarlens.refuseRoutes" -}}
{{- with .Values.gatewayApi }}
{{- if .enabled }}
{{- if not .parentRefs }}
{{- fail "gatewayApi.parentRefs has to name a Gateway" }}
{{- end }}
{{- if and .grpcHostnames $.Values.gateway.grpc.tlsSecretName }}
{{- fail "gatewayApi.grpcHostnames: a GRPCRoute does not speak TLS to what is behind it; leave out these or gateway.grpc.tlsSecretName" }}
{{- end }}
{{- range .grpcHostnames }}
{{- if has . $.Values.gatewayApi.hostnames }}
{{- fail (printf "gatewayApi.grpcHostnames: %s is among the hostnames too, and on one listener a name belongs to one of the two" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host has to say the name that the gateway is reached by" }}
{{- end }}
{{- end }}

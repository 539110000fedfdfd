{{- /* Checks of values that depend on each other, which a schema can't express. */}}
{{- define "sarlens.validate" -}}
{{- if not (or .Values.keys.secretName .Values.keys.allowAnonymous) }}
{{- fail "keys: set keys.secretName to a Secret with API keys (see docs/how-to/keys.md), or set keys.allowAnonymous to accept requests without a key" }}
{{- end }}
{{- if and .Values.gateway.grpc.clientCaSecretName (not .Values.gateway.grpc.tlsSecretName) }}
{{- fail "gateway.grpc.clientCaSecretName requires gateway.grpc.tlsSecretName" }}
{{- end }}
{{- with .Values.gateway.probes.startup }}
{{- if le (int $.Values.gateway.progressDeadlineSeconds) (mul .periodSeconds .failureThreshold) }}
{{- fail (printf "gateway.progressDeadlineSeconds %v must be greater than the %v s that gateway.probes.startup allows" $.Values.gateway.progressDeadlineSeconds (mul .periodSeconds .failureThreshold)) }}
{{- end }}
{{- end }}
{{- include "sarlens.validateReplicas" (dict "path" "gateway.autoscaling" "values" .Values.gateway.autoscaling) }}
{{- include "sarlens.validateSurveys" . }}
{{- include "sarlens.validateEgress" . }}
{{- include "sarlens.validateAccount" (dict "path" "gateway" "account" .Values.gateway.serviceAccount) }}
{{- if and .Values.caBundle.configMapName .Values.caBundle.secretName }}
{{- fail "caBundle: set configMapName or secretName, not both" }}
{{- end }}
{{- include "sarlens.validateRoutes" . }}
{{- if not (or .Values.workers (dig "worker" "urls" (list) .Values.settings)) }}
{{- fail "workers: list at least one worker, or set settings.worker.urls to workers that run elsewhere" }}
{{- end }}
{{- $seen := dict }}
{{- range $index, $worker := (include "sarlens.workers" . | fromJson).workers }}
{{- $path := printf "workers[%d] (%s)" $index $worker.name }}
{{- if hasKey $seen $worker.name }}
{{- fail (printf "%s: another worker has the same name" $path) }}
{{- end }}
{{- $_ := set $seen $worker.name true }}
{{- include "sarlens.validateWorker" (dict "path" $path "worker" $worker "policy" $.Values.networkPolicy.enabled "discovery" $.Values.discovery "scraped" $.Values.monitoring.serviceMonitor.enabled) }}
{{- end }}
{{- end }}

{{- define "sarlens.validateWorker" -}}
{{- $local := hasPrefix "/" .worker.model }}
{{- if gt (int .worker.tensorParallelSize) (max 1 (int .worker.gpu.count)) }}
{{- fail (printf "%s: tensorParallelSize %v is greater than gpu.count %v" .path .worker.tensorParallelSize .worker.gpu.count) }}
{{- end }}
{{- if and .policy (not $local) (not .worker.egress) }}
{{- fail (printf "%s: the worker must download the model %s, but egress allows no connection; allow port 443 of the model's host" .path .worker.model) }}
{{- end }}
{{- include "sarlens.validateArgs" . }}
{{- include "sarlens.validateAccount" (dict "path" .path "account" .worker.serviceAccount) }}
{{- if and .worker.cache.size .worker.cache.existingClaim }}
{{- fail (printf "%s: set cache.size or cache.existingClaim, not both" .path) }}
{{- end }}
{{- if and .worker.autoscaling.enabled (eq (int .worker.autoscaling.minReplicas) 0) (eq .discovery "dns") }}
{{- fail (printf "%s: autoscaling.minReplicas 0 requires discovery: kubernetes, since a name without pods doesn't resolve" .path) }}
{{- end }}
{{- if and .worker.autoscaling.enabled (not .worker.autoscaling.prometheus) }}
{{- fail (printf "%s: autoscaling.prometheus must be the URL of a Prometheus server" .path) }}
{{- end }}
{{- if and .worker.autoscaling.enabled (not .scraped) (not (and .worker.autoscaling.workerSelector .worker.autoscaling.gatewaySelector)) }}
{{- fail (printf "%s: autoscaling requires the metrics of gateways and workers; set monitoring.serviceMonitor.enabled, or autoscaling.workerSelector and autoscaling.gatewaySelector to the labels of your series" .path) }}
{{- end }}
{{- include "sarlens.validateReplicas" (dict "path" (printf "%s: autoscaling" .path) "values" .worker.autoscaling) }}
{{- end }}

{{- /* A StatefulSet can't change its claims: refuse before Helm applies the other objects.
Arguments: name, cache and current, the StatefulSet in the cluster. */}}
{{- define "sarlens.validateCache" -}}
{{- if .current }}
{{- $claim := dig "spec" "volumeClaimTemplates" (list) .current | first | default dict }}
{{- $size := dig "spec" "resources" "requests" "storage" "" $claim }}
{{- $class := dig "spec" "storageClassName" "" $claim }}
{{- $same := and (eq (include "sarlens.bytes" $size) (include "sarlens.bytes" .cache.size)) (or (not .cache.size) (eq $class .cache.storageClassName)) }}
{{- if not $same }}
{{- fail (printf "%s: Kubernetes can't change cache.size from %q to %q, or cache.storageClassName from %q to %q; delete the StatefulSet with --cascade=orphan first (see docs/how-to/kubernetes.md)" .name $size .cache.size $class .cache.storageClassName) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A quantity of bytes as a number: 1024Mi is 1Gi. */}}
{{- define "sarlens.bytes" -}}
{{- $powers := dict "Ki" 1 "Mi" 2 "Gi" 3 "Ti" 4 "Pi" 5 "k" 1 "M" 2 "G" 3 "T" 4 "P" 5 }}
{{- $unit := regexFind "[A-Za-z]+$" . }}
{{- $bytes := regexFind "^[0-9.]+" . | float64 }}
{{- range until (get $powers $unit | int) }}
{{- $bytes = mulf $bytes (ternary 1024 1000 (hasSuffix "i" $unit)) }}
{{- end }}
{{- $bytes }}
{{- end }}

{{- /* extraArgs must not repeat options of the chart, by any of their names, nor change how the gateway reaches the worker. */}}
{{- define "sarlens.validateArgs" -}}
{{- $aliases := dict "-asc" "--api-server-count" "-tp" "--tensor-parallel-size" "-dp" "--data-parallel-size" }}
{{- $switches := include "sarlens.worker.switches" .worker | fromYamlArray }}
{{- $reserved := list "--allowed-local-media-path" "--api-key" "--config" "--data-parallel-size" "--disable-log-stats" "--enable-scale-out" "--headless" "--middleware" "--root-path" "--skip-tokenizer-init" "--ssl-ca-certs" "--ssl-cert-reqs" "--ssl-certfile" "--ssl-keyfile" "--uds" }}
{{- range .worker.extraArgs }}
{{- $option := splitList "=" . | first }}
{{- $switch := get $aliases $option | default ($option | replace "_" "-" | replace "--no-" "--") }}
{{- if hasPrefix "--" $switch }}
{{- /* vLLM completes a unique beginning of an option. */}}
{{- range $switches }}
{{- if hasPrefix $switch . }}
{{- fail (printf "%s: extraArgs must not contain %s, which the chart sets" $.path .) }}
{{- end }}
{{- end }}
{{- range $reserved }}
{{- if hasPrefix $switch . }}
{{- fail (printf "%s: extraArgs must not contain %s, since the gateway and the probes expect vLLM without it%s" $.path . (ternary "; set secrets.worker.api_key" "" (eq . "--api-key"))) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sarlens.validateAccount" -}}
{{- if not (or .account.create .account.name) }}
{{- fail (printf "%s: serviceAccount.name must be an account that exists, since serviceAccount.create is false" .path) }}
{{- end }}
{{- end }}

{{- define "sarlens.validateReplicas" -}}
{{- if gt (int .values.minReplicas) (int .values.maxReplicas) }}
{{- fail (printf "%s.minReplicas %v is greater than maxReplicas %v" .path .values.minReplicas .values.maxReplicas) }}
{{- end }}
{{- end }}

{{- /* Several gateways must share one database of surveys. */}}
{{- define "sarlens.validateSurveys" -}}
{{- $shared := index .Values.secrets "survey.database" }}
{{- if and $shared (include "sarlens.surveys.claim" .) }}
{{- fail "surveys.size: secrets.survey.database stores the surveys already; set only one of the two" }}
{{- end }}
{{- if and (include "sarlens.gateway.several" .) (not $shared) (not .Values.surveys.unshared) }}
{{- fail "secrets.survey.database is required with more than one gateway, since each gateway would otherwise see only its own surveys; if you run no surveys, set surveys.unshared" }}
{{- end }}
{{- if and (include "sarlens.gateway.several" .) (include "sarlens.surveys.claim" .) }}
{{- fail "surveys.size: several gateways can't share a file; set secrets.survey.database to a PostgreSQL database" }}
{{- end }}
{{- end }}

{{- define "sarlens.validateRoutes" -}}
{{- with .Values.gatewayApi }}
{{- if .enabled }}
{{- if not .parentRefs }}
{{- fail "gatewayApi.parentRefs must name a Gateway" }}
{{- end }}
{{- if and .grpcHostnames $.Values.gateway.grpc.tlsSecretName }}
{{- fail "gatewayApi.grpcHostnames: a GRPCRoute doesn't use TLS to its backend; set either these or gateway.grpc.tlsSecretName" }}
{{- end }}
{{- range .grpcHostnames }}
{{- if has . $.Values.gatewayApi.hostnames }}
{{- fail (printf "gatewayApi.grpcHostnames: %s is also one of the hostnames; on one listener, a name belongs to either an HTTPRoute or a GRPCRoute" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts must have a host name of the gateway" }}
{{- end }}
{{- end }}

{{- /* Egress to a sidecar's istiod. */}}
{{- define "sarlens.istio.egress" -}}
{{- if .Values.istio.enabled }}
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.istio.namespace }}}}}]
  ports: [{port: 15012, protocol: TCP}]
{{- end }}
{{- end }}

{{- /* Egress to the agent of EKS Pod Identity. Argument: the values of a service account. */}}
{{- define "sarlens.podIdentity.egress" -}}
{{- if .podIdentity }}
- to: [{ipBlock: {cidr: 169.254.170.23/32}}, {ipBlock: {cidr: "fd00:ec2::23/128"}}]
  ports: [{port: 80, protocol: TCP}]
{{- end }}
{{- end }}

{{- /* Egress to the host and port of a URL: a Service by its namespace, an address as it is, and any other name anywhere but
at the instance metadata service. Arguments: root and url. */}}
{{- define "sarlens.url.egress" -}}
{{- $url := urlParse .url }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- $host := $url.hostname }}
{{- $to := list }}
{{- if eq $url.scheme "kubernetes" }}
{{- $port = regexFind "[0-9]+$" $url.path }}
{{- $to = list (include "sarlens.namespace.peer" $host | fromYaml) }}
{{- else if contains ":" $host }}
{{- $to = list (dict "ipBlock" (dict "cidr" (printf "%s/128" $host))) }}
{{- else if regexMatch "^[0-9.]+$" $host }}
{{- $to = list (dict "ipBlock" (dict "cidr" (printf "%s/32" $host))) }}
{{- else if not (contains "." $host) }}
{{- $to = list (include "sarlens.namespace.peer" .root.Release.Namespace | fromYaml) }}
{{- else if regexMatch "\\.svc(\\.|$)" $host }}
{{- $to = list (include "sarlens.namespace.peer" (regexReplaceAll "\\.svc(\\..*)?$" $host "" | splitList "." | last) | fromYaml) }}
{{- else }}
{{- $to = list (dict "namespaceSelector" dict) (dict "ipBlock" (dict "cidr" "0.0.0.0/0" "except" (list "169.254.0.0/16"))) (dict "ipBlock" (dict "cidr" "::/0" "except" (list "fe80::/10" "fd00:ec2::/32"))) }}
{{- end }}
- {{ dict "to" $to "ports" (list (dict "port" (int $port) "protocol" "TCP")) | toJson }}
{{- end }}

{{- define "sarlens.namespace.peer" -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- end }}

{{- /* Egress of gateways to the addresses that the values name. */}}
{{- define "sarlens.gateway.addresses.egress" -}}
{{- $urls := list (dig "s3" "endpoint" "" .Values.settings) (dig "tracing" "endpoint" "" .Values.settings) }}
{{- range dig "worker" "urls" (list) .Values.settings }}
{{- if not (hasPrefix "file:" .) }}
{{- $urls = append $urls . }}
{{- end }}
{{- end }}
{{- range list "keys.redis_url" "survey.database" }}
{{- with dig . "address" "" $.Values.secrets }}
{{- $urls = append $urls (printf "tcp://%s" .) }}
{{- end }}
{{- end }}
{{- range $urls | compact | uniq }}
{{ include "sarlens.url.egress" (dict "root" $ "url" .) | trim }}
{{- end }}
{{- end }}

{{- /* Egress of a worker. Arguments: root and worker. */}}
{{- define "sarlens.worker.egress" -}}
{{- $rules := concat .worker.egress (include "sarlens.istio.egress" .root | fromYamlArray) (include "sarlens.podIdentity.egress" .worker.serviceAccount | fromYamlArray) }}
{{- $previous := "" }}
{{- range .worker.extraArgs }}
{{- if or (eq $previous "--otlp-traces-endpoint") (hasPrefix "--otlp-traces-endpoint=" .) }}
{{- $url := trimPrefix "--otlp-traces-endpoint=" . }}
{{- $rules = concat $rules (include "sarlens.url.egress" (dict "root" $.root "url" (ternary $url (printf "http://%s" $url) (contains "://" $url))) | fromYamlArray) }}
{{- end }}
{{- $previous = . }}
{{- end }}
{{- toJson (ternary (concat .root.Values.networkPolicy.dns $rules) $rules (gt (len $rules) 0) | default list) }}
{{- end }}

{{- /* The NetworkPolicy must allow servers whose URLs Secrets hold. */}}
{{- define "sarlens.validateEgress" -}}
{{- if .Values.networkPolicy.enabled }}
{{- range $name, $port := dict "keys.redis_url" 6379 "survey.database" 5432 }}
{{- $secret := index $.Values.secrets $name }}
{{- if and $secret (not (dig "address" "" (default dict $secret))) }}
{{- $open := false }}
{{- range $.Values.gateway.egress }}
{{- if not .ports }}
{{- $open = true }}
{{- end }}
{{- range .ports }}
{{- if or (not .port) (eq (toString .port) (toString $port)) }}
{{- $open = true }}
{{- end }}
{{- end }}
{{- end }}
{{- if not $open }}
{{- fail (printf "secrets.%s: the NetworkPolicy blocks the server; set address to the host and port of its URL, or allow port %d in gateway.egress" $name $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

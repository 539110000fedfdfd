{{- /* Settings as environment variables: groups are one level deep; lists and maps inside them are JSON. */}}
{{- define "sarlens.settings" -}}
{{- $all := deepCopy .Values.settings }}
{{- $locations := list }}
{{- range .Values.workers }}
{{- $service := printf "%s-%s" (include "sarlens.fullname" $) .name }}
{{- if eq $.Values.discovery "kubernetes" }}
{{- $locations = append $locations (printf "kubernetes://%s/%s:8000" $.Release.Namespace $service) }}
{{- else }}
{{- $locations = append $locations (printf "dns://%s.%s.svc:8000" $service $.Release.Namespace) }}
{{- end }}
{{- end }}
{{- $worker := default dict $all.worker }}
{{- $_ := set $all "worker" (set $worker "urls" (concat $locations (default list $worker.urls))) }}
{{- $atZero := include "sarlens.atZero" . | fromJson }}
{{- with $atZero.models }}
{{- $_ := set $worker "models" (concat . (default list $worker.models)) }}
{{- $_ := set $all "admission" (merge (default dict $all.admission) (dict "queue_timeout_s" (add $atZero.seconds 60))) }}
{{- end }}
{{- include "sarlens.fixedSettings" . | fromYaml | mergeOverwrite $all | include "sarlens.variables" }}
{{- end }}

{{- /* Settings that follow from the chart's mounts and ports. */}}
{{- define "sarlens.fixedSettings" -}}
host: {{ .Values.listenAddress | quote }}
port: 8080
{{- if .Values.profiles }}
profiles: [/etc/sarlens/profiles/profiles.toml]
{{- end }}
management:
  host: {{ .Values.listenAddress | quote }}
  port: 8082
keys:
{{- if .Values.keys.secretName }}
  file: /etc/sarlens/keys/{{ .Values.keys.key }}
{{- end }}
  allow_anonymous: {{ .Values.keys.allowAnonymous }}
{{- with .Values.gateway.grpc }}
{{- if .enabled }}
grpc:
  port: 8081
  {{- if .tlsSecretName }}
  cert_file: /etc/sarlens/tls/tls.crt
  key_file: /etc/sarlens/tls/tls.key
  {{- end }}
  {{- if .clientCaSecretName }}
  client_ca_file: /etc/sarlens/client-ca/ca.crt
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sarlens.variables" -}}
{{- range $name, $value := . }}
{{- $variable := printf "SARLENS_%s" (upper $name) }}
{{- if kindIs "map" $value }}
{{- range $key, $nested := $value }}
{{- include "sarlens.variable" (dict "name" (printf "%s__%s" $variable (upper $key)) "value" $nested) }}
{{- end }}
{{- else }}
{{- include "sarlens.variable" (dict "name" $variable "value" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sarlens.variable" -}}
{{- if not (kindIs "invalid" .value) }}
{{ .name }}: {{ kindIs "string" .value | ternary .value (toJson .value) | quote }}
{{- end }}
{{- end }}

{{- /* Volumes of Secrets, each mounted at /etc/sarlens/<name>. Whole folders, so that what changes in them is seen. */}}
{{- define "sarlens.gateway.files" -}}
{{- with .Values.keys.secretName }}
- {name: keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- with .Values.gateway.grpc }}
{{- if and .enabled .tlsSecretName }}
- {name: tls, secret: {secretName: {{ .tlsSecretName }}}}
{{- end }}
{{- if and .enabled .clientCaSecretName }}
- {name: client-ca, secret: {secretName: {{ .clientCaSecretName }}}}
{{- end }}
{{- end }}
{{- end }}

{{- define "sarlens.gateway.env" -}}
{{- if not (dig "render" "threads" 0 .Values.settings) }}
# The node's cores are not the pod's.
- name: SARLENS_RENDER__THREADS
  valueFrom: {resourceFieldRef: {containerName: gateway, resource: requests.cpu, divisor: "1"}}
{{- end }}
{{- range $setting, $from := .Values.secrets }}
- name: SARLENS_{{ $setting | replace "." "__" | upper }}
  valueFrom: {secretKeyRef: {name: {{ $from.secretName }}, key: {{ $from.key }}}}
{{- end }}
{{- with .Values.gateway.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Whether there may be more than one gateway: "yes", or nothing. */}}
{{- define "sarlens.gateway.several" -}}
{{- with .Values.gateway -}}
{{- if gt (int (ternary .autoscaling.maxReplicas .replicas .autoscaling.enabled)) 1 -}}
yes
{{- end -}}
{{- end -}}
{{- end }}

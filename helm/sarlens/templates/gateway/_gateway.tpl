{{- /* Volumes of Secrets and of the profiles, each mounted at /etc/sarlens/<name>. Whole directories, so that updates reach the pod. */}}
{{- define "sarlens.gateway.files" -}}
{{- with .Values.keys.secretName }}
- {name: keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- if .Values.profiles }}
- {name: profiles, configMap: {name: {{ include "sarlens.fullname" . }}-profiles}}
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

{{- /* Name of the Secret that the chart generates. */}}
{{- define "sarlens.gateway.secret" -}}
{{- printf "%s-generated" (include "sarlens.fullname" .) -}}
{{- end }}

{{- define "sarlens.gateway.env" -}}
{{- if not (dig "render" "max_threads" 0 .Values.settings) }}
# The default is the number of cores of the node, not of the pod.
- name: SARLENS_RENDER__MAX_THREADS
  valueFrom: {resourceFieldRef: {containerName: gateway, resource: requests.cpu, divisor: "1"}}
{{- end }}
{{- $generated := dict "worker.image_id_secret" (dict "secretName" (include "sarlens.gateway.secret" .) "key" "image-id-secret") }}
{{- range $setting, $from := merge dict .Values.secrets $generated }}
- name: SARLENS_{{ $setting | replace "." "__" | upper }}
  valueFrom: {secretKeyRef: {name: {{ $from.secretName }}, key: {{ $from.key }}}}
{{- end }}
{{- with .Values.gateway.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* "yes" if the release can have more than one gateway, or nothing. */}}
{{- define "sarlens.gateway.several" -}}
{{- with .Values.gateway -}}
{{- if gt (int (ternary .autoscaling.maxReplicas .replicas .autoscaling.enabled)) 1 -}}
yes
{{- end -}}
{{- end -}}
{{- end }}

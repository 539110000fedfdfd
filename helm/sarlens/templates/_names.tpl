{{- /* 31 characters and a worker's 20 leave a StatefulSet's name the 52 that its revision label allows. */}}
{{- define "sarlens.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $whole .Values.fullnameOverride | trunc 31 | trimSuffix "-" -}}
{{- end }}

{{- define "sarlens.gateway.serviceAccount" -}}
{{- default (include "sarlens.fullname" .) .Values.gateway.serviceAccount.name -}}
{{- end }}

{{- /* What a selector matches: a component, and for workers its name. Takes root, component and, of a worker, name. */}}
{{- define "sarlens.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .name }}
sarlens/worker: {{ . }}
{{- end }}
{{- end }}

{{- define "sarlens.labels" -}}
{{ include "sarlens.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Takes image, and version where no tag is given. */}}
{{- define "sarlens.image" -}}
{{- if .image.digest -}}
{{ printf "%s@%s" .image.repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" .image.repository (default .version .image.tag) }}
{{- end -}}
{{- end }}

{{- /* Takes topologySpread and the selector's arguments. */}}
{{- define "sarlens.topologySpread" -}}
{{- $selector := include "sarlens.selector" . | fromYaml -}}
{{- range .topologySpread }}
- {{ merge (dict "labelSelector" (dict "matchLabels" $selector)) . | toYaml | indent 2 | trim }}
{{- end }}
{{- end }}

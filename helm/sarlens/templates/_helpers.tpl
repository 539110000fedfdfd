{{- /* 31 characters here and 20 of a worker's name keep a StatefulSet's name within the 52 that its revision label allows.
A longer name is cut, and a hash keeps it unique. */}}
{{- define "sarlens.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- $full := default $whole .Values.fullnameOverride -}}
{{- if gt (len $full) 31 -}}
{{- $full = printf "%s-%s" ($full | trunc 24 | trimSuffix "-") ($full | sha256sum | trunc 6) -}}
{{- end -}}
{{- $full -}}
{{- end }}

{{- define "sarlens.gateway.serviceAccount" -}}
{{- default (include "sarlens.fullname" .) .Values.gateway.serviceAccount.name -}}
{{- end }}

{{- /* Selector labels. Arguments: root, component and, for a worker, name. */}}
{{- define "sarlens.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .name }}
sarlens/worker: {{ . }}
{{- end }}
{{- end }}

{{- /* Labels of a pod template. Labels that change with the chart's version would restart the pods.
Arguments: those of the selector, and podLabels. */}}
{{- define "sarlens.podLabels" -}}
{{ include "sarlens.selector" . }}
{{- with .podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Replicas of an autoscaled object: the current number within the limits, so that an upgrade doesn't scale it.
Arguments: autoscaling, and current, the object in the cluster. */}}
{{- define "sarlens.replicas" -}}
{{- $current := dig "spec" "replicas" 0 (default dict .current) -}}
{{- max .autoscaling.minReplicas (min $current .autoscaling.maxReplicas) -}}
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

{{- /* Image reference. Arguments: image, and version as the default tag. */}}
{{- define "sarlens.image" -}}
{{- if .image.digest -}}
{{ printf "%s@%s" .image.repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" .image.repository (default .version .image.tag) }}
{{- end -}}
{{- end }}

{{- /* Topology spread constraints. Arguments: topologySpread and those of the selector. */}}
{{- define "sarlens.topologySpread" -}}
{{- $selector := include "sarlens.selector" . | fromYaml -}}
{{- range .topologySpread }}
- {{ merge (dict "labelSelector" (dict "matchLabels" $selector)) . | toYaml | indent 2 | trim }}
{{- end }}
{{- end }}

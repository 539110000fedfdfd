{{- /* Security context of a pod. Arguments: root, and pod, the values of the gateway or of a worker. */}}
{{- define "sarlens.podSecurity" -}}
{{- $context := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- if ne (include "sarlens.openshift" .root) "true" }}
{{- $context = merge $context (dict "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001 "fsGroupChangePolicy" "OnRootMismatch") }}
{{- end }}
{{- toYaml (mergeOverwrite $context (deepCopy .pod.podSecurityContext)) }}
{{- end }}

{{- define "sarlens.openshift" -}}
{{- $own := .Values.openshift | toString }}
{{- ternary (.Capabilities.APIVersions.Has "security.openshift.io/v1") (eq $own "true") (eq $own "auto") -}}
{{- end }}

{{- /* Security context of a container. Argument: the values of the gateway or of a worker. */}}
{{- define "sarlens.containerSecurity" -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) }}
{{- toYaml (mergeOverwrite $context (deepCopy .securityContext)) }}
{{- end }}

{{- /* Volume of the certificate authorities. */}}
{{- define "sarlens.caBundle" -}}
{{- with .Values.caBundle }}
{{- if .configMapName }}
- {name: ca, configMap: {name: {{ .configMapName }}}}
{{- else if .secretName }}
- {name: ca, secret: {secretName: {{ .secretName }}}}
{{- end }}
{{- end }}
{{- end }}

{{- /* Variable that the S3 clients of gateways and workers read. */}}
{{- define "sarlens.caBundle.env" -}}
{{- if include "sarlens.caBundle" . }}
- {name: AWS_CA_BUNDLE, value: /etc/sarlens/ca/{{ .Values.caBundle.key }}}
{{- end }}
{{- end }}

{{- /* Scheduling, names and init containers of a pod. Argument: the values of the gateway or of a worker. */}}
{{- define "sarlens.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* HTTP probe. Arguments: path, port, and probe, its time-outs and thresholds. */}}
{{- define "sarlens.probe" -}}
httpGet: {path: {{ .path }}, port: {{ .port }}}
{{ toYaml .probe }}
{{- end }}

{{- /* Annotations of a pod: its own, and those of the mesh. Arguments: root, component and annotations. */}}
{{- define "sarlens.podAnnotations" -}}
{{- $mesh := dict }}
{{- if .root.Values.istio.enabled }}
{{- $mesh = dict "proxy.istio.io/config" "holdApplicationUntilProxyStarts: true" }}
{{- if eq .component "gateway" }}
{{- $mesh = set $mesh "traffic.sidecar.istio.io/excludeInboundPorts" "8082" }}
{{- end }}
{{- end }}
{{- with merge (deepCopy .annotations) $mesh }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "sarlens.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "sarlens.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Scheduling of a pod. Argument: the values of the gateway or of a worker. */}}
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

{{- /* Egress of a sidecar: istiod, and the DNS name that it has. */}}
{{- define "sarlens.istio.egress" -}}
{{- if .Values.istio.enabled }}
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.istio.namespace }}}}}]
  ports: [{port: 15012, protocol: TCP}]
{{- end }}
{{- end }}

{{- define "sarlens.dns.egress" -}}
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}

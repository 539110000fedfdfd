{{- /* Volumes of Secrets and of the profiles, each mounted at /etc/sarlens/<name>. Whole directories, so that updates reach the pod. */}}
{{- define "sarlens.gateway.files" -}}
{{- with .Values.keys.secretName }}
- {name: keys, secret: {secretName: {{ . }}}}
{{- end }}
{{- if .Values.profiles }}
- {name: profiles, configMap: {name: {{ include "sarlens.fullname" . }}-profiles}}
{{- end }}
{{- include "sarlens.caBundle" . }}
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

{{- /* Claim of the survey database of a single gateway, or nothing. */}}
{{- define "sarlens.surveys.claim" -}}
{{- with .Values.surveys -}}
{{- .existingClaim | default (ternary (printf "%s-surveys" (include "sarlens.fullname" $)) "" (ne .size "")) -}}
{{- end -}}
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
{{- include "sarlens.caBundle.env" . }}
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

{{- define "sarlens.ipFamilies" -}}
{{- with .Values.gateway.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.gateway.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* Annotations of the Ingress for the size of bodies and the silence of responses. The defaults of controllers are 1 MB
and a minute. Each reads its own. */}}
{{- define "sarlens.ingress.annotations" -}}
{{- $bytes := dig "limit" "max_body_bytes" 67108864 .Values.settings | int64 | toString }}
{{- $seconds := .Values.ingress.timeoutSeconds | int64 }}
{{- $own := dict "nginx.ingress.kubernetes.io/proxy-body-size" $bytes "nginx.org/client-max-body-size" $bytes }}
{{- $_ := set $own "haproxy-ingress.github.io/proxy-body-size" $bytes }}
{{- range list "nginx.ingress.kubernetes.io/proxy-read-timeout" "nginx.ingress.kubernetes.io/proxy-send-timeout" }}
{{- $_ := set $own . (toString $seconds) }}
{{- end }}
{{- range list "nginx.org/proxy-read-timeout" "nginx.org/proxy-send-timeout" "haproxy.org/timeout-server" "haproxy-ingress.github.io/timeout-server" "projectcontour.io/response-timeout" }}
{{- $_ := set $own . (printf "%ds" $seconds) }}
{{- end }}
{{- $_ := set $own "nginx.org/proxy-buffering" "False" }}
{{- $_ := set $own "alb.ingress.kubernetes.io/load-balancer-attributes" (printf "idle_timeout.timeout_seconds=%d" (min $seconds 4000)) }}
{{- toYaml (merge (deepCopy .Values.ingress.annotations) $own) }}
{{- end }}

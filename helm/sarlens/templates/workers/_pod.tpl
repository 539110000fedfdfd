{{- /* Pod template of a worker. Arguments: root, selector and worker. */}}
{{- define "sarlens.worker.pod" -}}
{{- $worker := .worker }}
{{- $startup := $worker.probes.startup }}
serviceAccountName: {{ include "sarlens.worker.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
# preStop, vLLM's drain, and 30 s to release the GPU.
terminationGracePeriodSeconds: {{ add $worker.preStopSeconds $worker.shutdownTimeoutSeconds 30 }}
securityContext:
  {{- include "sarlens.podSecurity" (dict "root" .root "pod" $worker) | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: vllm
    image: {{ include "sarlens.image" (dict "image" $worker.image "version" .root.Chart.AppVersion) | quote }}
    imagePullPolicy: {{ $worker.image.pullPolicy }}
    command: [python3, -m, vllm.entrypoints.openai.api_server]
    args:
      {{- include "sarlens.worker.args" $worker | nindent 6 }}
    env:
      {{- include "sarlens.worker.env" . | nindent 6 }}
    {{- with $worker.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - {name: http, containerPort: 8000}
    # Loading a model takes minutes. After that, the liveness probe detects a dead engine.
    startupProbe:
      {{- include "sarlens.probe" (dict "path" "/health" "port" "http" "probe" (merge (dict "failureThreshold" (div (add $worker.startupSeconds $startup.periodSeconds -1) $startup.periodSeconds)) $startup)) | nindent 6 }}
    livenessProbe:
      {{- include "sarlens.probe" (dict "path" "/health" "port" "http" "probe" $worker.probes.liveness) | nindent 6 }}
    readinessProbe:
      {{- include "sarlens.probe" (dict "path" "/health" "port" "http" "probe" $worker.probes.readiness) | nindent 6 }}
    lifecycle:
      preStop:
        sleep: {seconds: {{ $worker.preStopSeconds }}}
    securityContext:
      {{- include "sarlens.containerSecurity" $worker | nindent 6 }}
    resources:
      {{- include "sarlens.worker.resources" $worker | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: shm, mountPath: /dev/shm}
      - {name: cache, mountPath: /cache}
      {{- if $worker.modelClaim }}
      - {name: models, mountPath: /models, readOnly: true}
      {{- end }}
      {{- if include "sarlens.caBundle" .root }}
      - {name: ca, mountPath: /etc/sarlens/ca, readOnly: true}
      {{- end }}
      {{- with $worker.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- with $worker.sidecars }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: shm, emptyDir: {medium: Memory, sizeLimit: {{ $worker.sharedMemory }}}}
  {{- if $worker.cache.existingClaim }}
  - {name: cache, persistentVolumeClaim: {claimName: {{ $worker.cache.existingClaim }}}}
  {{- else if not $worker.cache.size }}
  - {name: cache, emptyDir: {}}
  {{- end }}
  {{- include "sarlens.caBundle" .root | indent 2 }}
  {{- with $worker.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $worker.modelClaim }}
  - {name: models, persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}}
  {{- end }}
topologySpreadConstraints:
  {{- include "sarlens.topologySpread" (merge (dict "topologySpread" $worker.topologySpread) .selector) | nindent 2 }}
{{- $nodes := deepCopy $worker.nodeSelector }}
{{- with $worker.gpu.product }}
{{- $nodes = set $nodes "nvidia.com/gpu.product" . }}
{{- end }}
{{- with $nodes }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $worker.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- include "sarlens.placement" $worker }}
{{- end }}

{{- /* Arguments: root and worker. */}}
{{- define "sarlens.worker.serviceAccount" -}}
{{- default (printf "%s-%s" (include "sarlens.fullname" .root) .worker.name) .worker.serviceAccount.name -}}
{{- end }}

{{- define "sarlens.worker.resources" -}}
{{- $resources := deepCopy .resources }}
{{- if .gpu.count }}
{{- range $name := list "limits" "requests" }}
{{- $_ := set $resources $name (set (default dict (get $resources $name)) $.gpu.resource $.gpu.count) }}
{{- end }}
{{- end }}
{{- toYaml $resources }}
{{- end }}

{{- /* Variables of service/sarlens/devstack/vllm.py, and directories for files that vLLM writes: the root is read-only. */}}
{{- define "sarlens.worker.env" -}}
{{- if or (hasPrefix "/" .worker.model) (hasPrefix "s3://" .worker.model) }}
- {name: HF_HUB_OFFLINE, value: "1"}
{{- end }}
- {name: VLLM_NO_USAGE_STATS, value: "1"}
- {name: VLLM_MEDIA_URL_ALLOW_REDIRECTS, value: "0"}
- {name: HOME, value: /cache}
- {name: USER, value: sarlens}
- {name: HF_HOME, value: /cache/huggingface}
- {name: XDG_CACHE_HOME, value: /cache}
- {name: VLLM_CACHE_ROOT, value: /cache/vllm}
- {name: TRITON_CACHE_DIR, value: /cache/triton}
- {name: TORCHINDUCTOR_CACHE_DIR, value: /cache/inductor}
{{- with index .root.Values.secrets "worker.api_key" }}
- name: VLLM_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .secretName }}, key: {{ .key }}}}
{{- end }}
{{- include "sarlens.caBundle.env" .root }}
{{- with .worker.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

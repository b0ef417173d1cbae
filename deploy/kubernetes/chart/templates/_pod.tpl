{{- define "septem.sidecar" -}}
name: sidecar
image: {{ include "septem.image" (dict "image" .Values.image "version" .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve, --config, /etc/septem/sidecar.yaml]
ports:
  - {name: probes, containerPort: 9104, protocol: TCP}
  {{- if eq .Values.mode "deployment" }}
  {{- range $number := until (int .Values.workers) }}
  - {name: authz-{{ $number }}, containerPort: {{ add 9110 $number }}, protocol: TCP}
  {{- end }}
  {{- else if eq .Values.mode "node" }}
  - {name: sds, containerPort: 9101, protocol: TCP}
  {{- end }}
  {{- if .Values.metrics.enabled }}
  - {name: metrics, containerPort: 9105, protocol: TCP}
  {{- end }}
# It is given ten minutes for a Vault that is away; then it is started again.
startupProbe:
  httpGet: {path: /readyz, port: probes}
  periodSeconds: 2
  failureThreshold: 300
readinessProbe:
  httpGet: {path: /readyz, port: probes}
  periodSeconds: 5
  timeoutSeconds: 3
# A sidecar without keys is alive: another start would not help it.
livenessProbe:
  httpGet: {path: /livez, port: probes}
  periodSeconds: 10
  timeoutSeconds: 3
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext: {{- include "septem.restricted" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/septem, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- if eq .Values.mode "pod" }}
  - {name: sockets, mountPath: /run/septem}
  {{- end }}
  {{- if .Values.vaultToken.enabled }}
  - {name: vault-token, mountPath: /var/run/secrets/septem, readOnly: true}
  {{- end }}
  {{- if and .Values.metrics.enabled .Values.metrics.secretName }}
  - {name: metrics-tls, mountPath: /var/run/secrets/septem-metrics, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{- end }}
{{- end }}

{{- define "septem.envoy" -}}
name: envoy
image: {{ include "septem.image" (dict "image" .Values.envoy.image "version" "") }}
imagePullPolicy: {{ .Values.envoy.image.pullPolicy }}
command: [envoy]
args: [-c, /etc/envoy/envoy.yaml, --disable-hot-restart, --drain-time-s, "5"]
ports:
  - {name: http, containerPort: 8080, protocol: TCP}
  - {name: https, containerPort: 8443, protocol: TCP}
# Envoy opens this port when it has its certificate.
startupProbe:
  tcpSocket: {port: https}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  tcpSocket: {port: https}
  periodSeconds: 5
lifecycle:
  preStop: {sleep: {seconds: {{ .Values.envoy.preStopSeconds }}}}
resources: {{- toYaml .Values.envoy.resources | nindent 2 }}
securityContext:
  {{- include "septem.restricted" . | nindent 2 }}
  # Another user than the sidecar's, by which SDS knows it.
  runAsUser: 65533
volumeMounts:
  - {name: envoy-config, mountPath: /etc/envoy, readOnly: true}
  - {name: sockets, mountPath: /run/septem}
{{- end }}

{{- define "septem.pod" -}}
metadata:
  labels:
    {{- include "septem.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{- end }}
  {{- with .Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "septem.serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    # Sockets and tokens are this group's, in which Envoy is too.
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.mode "pod" }}
  # An init container that goes on running: ready before Envoy starts, ended after Envoy has.
  initContainers:
    - {{- include "septem.sidecar" . | nindent 6 }}
      restartPolicy: Always
  containers:
    - {{- include "septem.envoy" . | nindent 6 }}
  {{- else }}
  containers:
    - {{- include "septem.sidecar" . | nindent 6 }}
  {{- end }}
  volumes:
    # The whole folder, so that a change of the ConfigMap arrives; never by subPath.
    - name: config
      configMap: {name: {{ include "septem.fullname" . }}}
    - name: tmp
      emptyDir: {medium: Memory, sizeLimit: 16Mi}
    {{- if eq .Values.mode "pod" }}
    - name: envoy-config
      configMap: {name: {{ include "septem.fullname" . }}-envoy}
    - name: sockets
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    {{- end }}
    {{- if .Values.vaultToken.enabled }}
    - name: vault-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ .Values.vaultToken.audience | quote }}
              expirationSeconds: {{ .Values.vaultToken.expirationSeconds }}
    {{- end }}
    {{- if and .Values.metrics.enabled .Values.metrics.secretName }}
    - name: metrics-tls
      secret: {secretName: {{ .Values.metrics.secretName | quote }}, defaultMode: 0440}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{- end }}
{{- end }}

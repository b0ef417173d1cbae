{{- define "septem.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "septem.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "septem.name" .) .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "septem.name" .) | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "septem.selector" -}}
app.kubernetes.io/name: {{ include "septem.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: {{ .Values.mode | quote }}
{{- end }}

{{- define "septem.labels" -}}
{{ include "septem.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end }}

{{- define "septem.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "septem.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- /* repository, then digest or tag */ -}}
{{- define "septem.image" -}}
{{- if .image.digest -}}
{{ printf "%s@%s" .image.repository .image.digest | quote }}
{{- else -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .version) | quote }}
{{- end -}}
{{- end }}

{{- /* What the sidecar listens on, by mode; the user's own `listen` is merged into it. */ -}}
{{- define "septem.listen" -}}
{{- $listen := dict "admin" (dict "address" "127.0.0.1:9102") "probes" (dict "address" "0.0.0.0:9104") -}}
{{- if eq .Values.mode "pod" -}}
{{- $_ := set $listen "authz" (dict "address" "unix:/run/septem/authz.sock" "workers" .Values.workers) -}}
{{- $_ := set $listen "sds" (dict "address" "unix:/run/septem/sds.sock" "peer_uids" (list 65533)) -}}
{{- else if eq .Values.mode "deployment" -}}
{{- $_ := set $listen "authz" (dict "address" "0.0.0.0:9110" "workers" .Values.workers) -}}
{{- $_ := set $listen "drain_notice_seconds" 5 -}}
{{- else -}}
{{- $mtls := dict "certificate" .Values.sds.certificate "trust_bundle" .Values.sds.trustBundle -}}
{{- $_ := set $listen "sds" (dict "address" "0.0.0.0:9101" "mtls" $mtls) -}}
{{- end -}}
{{- if .Values.metrics.enabled -}}
{{- $tls := .Values.metrics.tls -}}
{{- if .Values.metrics.secretName -}}
{{- $at := "/var/run/secrets/septem-metrics" -}}
{{- $tls = dict "source" "files" "certificate_file" (print $at "/tls.crt") "key_file" (print $at "/tls.key") "client_ca_file" (print $at "/ca.crt") -}}
{{- end -}}
{{- $_ := set $listen "metrics" (dict "address" "0.0.0.0:9105" "tls" $tls) -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy (.Values.config.listen | default dict)) $listen) -}}
{{- end }}

{{- define "septem.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" (include "septem.listen" . | fromYaml) -}}
{{- if .Values.configWatchSeconds -}}
{{- $_ := set $config "config_watch_seconds" .Values.configWatchSeconds -}}
{{- $_ := set $config "config_watch_allow_restart" .Values.configWatchAllowRestart -}}
{{- end -}}
{{- $text := toYaml $config -}}
{{- if gt (len $text) 900000 -}}
{{- fail "config is larger than a ConfigMap may be (1 MiB): keep lists of tenants and domains in Vault" -}}
{{- end -}}
{{ $text }}
{{- end }}

{{- define "septem.envoyConfig" -}}
{{- if .Values.envoy.config -}}
{{ .Values.envoy.config }}
{{- else -}}
{{- $names := list -}}
{{- range .Values.config.certificates -}}{{- $names = append $names .name -}}{{- end -}}
{{- if not (has "edge" $names) -}}
{{- fail "config.certificates has none with the name `edge`, which the chart's envoy.yaml serves: add it, or set envoy.config" -}}
{{- end -}}
{{- $host := .Values.envoy.upstream.host -}}
{{- $old := "{address: application.default.svc.cluster.local, port_value: 8080}" -}}
{{- $new := printf "{address: %s, port_value: %d}" $host (int .Values.envoy.upstream.port) -}}
{{- $text := .Files.Get "files/envoy.yaml" | replace $old $new -}}
{{- if gt (int .Values.workers) 1 -}}
{{- $line := "              - endpoint: {address: {pipe: {path: /run/septem/authz.sock}}}\n" -}}
{{- $lines := "" -}}
{{- range $number := until (int .Values.workers) -}}
{{- $lines = print $lines (replace "authz.sock" (printf "authz-%d.sock" $number) $line) -}}
{{- end -}}
{{- $text = $text | replace $line $lines | replace "max_interval: 10s" "max_interval: 0.2s" -}}
{{- end -}}
{{ $text }}
{{- end -}}
{{- end }}

{{- define "septem.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What no schema of one value says: what several of them mean together. */ -}}
{{- define "septem.check" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is empty: write where you pushed the sidecar's image" -}}
{{- end -}}
{{- $name := include "septem.fullname" . -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- fail (printf "a service may not be called %s, which begins with a digit: set fullnameOverride" $name) -}}
{{- end -}}
{{- $grace := int .Values.terminationGracePeriodSeconds -}}
{{- if and (eq .Values.mode "pod") (ge (int .Values.envoy.preStopSeconds) $grace) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and Envoy's end begins envoy.preStopSeconds (%d) after it starts to count: make it longer" $grace (int .Values.envoy.preStopSeconds)) -}}
{{- end -}}
{{- $volumes := list -}}
{{- range .Values.extraVolumes -}}{{- $volumes = append $volumes .name -}}{{- end -}}
{{- range .Values.extraVolumeMounts -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "extraVolumeMounts names the volume %s, which is not in extraVolumes" .name) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "node" -}}
{{- include "septem.named" (list . "sds" .Values.sds.certificate .Values.sds.trustBundle) -}}
{{- end -}}
{{- if and .Values.metrics.enabled (eq (.Values.metrics.tls.source | default "") "managed") -}}
{{- $tls := .Values.metrics.tls -}}
{{- include "septem.named" (list . "metrics.tls" $tls.certificate $tls.trust_bundle) -}}
{{- end -}}
{{- end }}

{{- /* context, the value's name, a certificate, a trust bundle: both are in config */ -}}
{{- define "septem.named" -}}
{{- $certificates := list -}}
{{- range (index . 0).Values.config.certificates -}}{{- $certificates = append $certificates .name -}}{{- end -}}
{{- if not (has (index . 2) $certificates) -}}
{{- fail (printf "%s shows the certificate %v, and config.certificates has none of that name" (index . 1) (index . 2)) -}}
{{- end -}}
{{- $bundles := list -}}
{{- range (index . 0).Values.config.trust_bundles -}}{{- $bundles = append $bundles .name -}}{{- end -}}
{{- if not (has (index . 3) $bundles) -}}
{{- fail (printf "%s lets in whom the trust bundle %v knows, and config.trust_bundles has none of that name" (index . 1) (index . 3)) -}}
{{- end -}}
{{- end }}

{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "gateway.redisSelector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: redis
{{- end -}}

{{- define "gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "gateway.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{/* What Kubernetes' profile "restricted" asks of every container, and a root that cannot be written to. */}}
{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Not empty where the small Redis is installed. */}}
{{- define "gateway.bundled" -}}
{{- if and .Values.redis.bundled.enabled (not .Values.redis.existingSecret) -}}yes{{- end -}}
{{- end -}}

{{/* What the inference port and the admin port speak: http, or https where they have a certificate. */}}
{{- define "gateway.scheme" -}}
{{- ternary "https" "http" (ne .Values.tls.existingSecret "") -}}
{{- end -}}

{{- define "gateway.adminScheme" -}}
{{- ternary "https" "http" (ne .Values.admin.tls.existingSecret "") -}}
{{- end -}}

{{/*
A Python program that asks the address that follows it, and fails unless the answer is good. It shows the probes'
certificate where there is one. It does not check whom it asks: the answer is a status that nobody gains by forging.
*/}}
{{- define "gateway.ask" -}}
import ssl, sys, urllib.request as web
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
{{- if .Values.tls.clientCaSecret }}
context.load_cert_chain("/etc/gateway/probe/tls.crt", "/etc/gateway/probe/tls.key")
{{- end }}
print(web.urlopen(sys.argv[1], timeout=float(sys.argv[2]), context=context).status)
{{- end -}}

{{/* How a probe asks the inference port: the kubelet itself shows no certificate, so where one is wanted a program does. */}}
{{- define "gateway.probe" -}}
{{- if .root.Values.tls.clientCaSecret -}}
exec:
  command:
    - python
    - -c
    - {{ include "gateway.ask" .root | quote }}
    - https://127.0.0.1:8080{{ .path }}
    - "4"
periodSeconds: 5
timeoutSeconds: 5
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if .root.Values.tls.existingSecret }}
  scheme: HTTPS
  {{- end }}
periodSeconds: {{ .periodSeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
{{- end -}}
{{- end -}}

{{/*
The memory over which a worker is replaced. auto: 90 % of the container's limit, shared by the workers and the successor
that starts beside the one it replaces; nothing where there is no limit.
*/}}
{{- define "gateway.workerMemory" -}}
{{- $given := dig "limits" "memory" "" .Values.resources -}}
{{- $limit := ternary (printf "%.0f" $given) (toString $given) (kindIs "float64" $given) -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- if ne .Values.gateway.workerMemory "auto" -}}
{{- .Values.gateway.workerMemory -}}
{{- else if not $given -}}
0
{{- else if regexMatch "^[0-9]+([.][0-9]+)?([kMGT]|[KMGT]i)?$" $limit -}}
{{- $bytes := mulf (regexFind "^[0-9.]+" $limit) (get $units (regexFind "[A-Za-z]*$" $limit)) -}}
{{- printf "%dm" (max 1 (int64 (divf (mulf $bytes 0.9) (mulf (add1 .Values.gateway.workers) 1048576)))) -}}
{{- else -}}
{{- fail (printf "gateway.workerMemory=auto cannot read resources.limits.memory=%s: write it like 1Gi, or set gateway.workerMemory" $limit) -}}
{{- end -}}
{{- end -}}

{{/* Secrets, and a config map, that become files: what the volume and its directory below /etc/gateway are called, and where it is from. */}}
{{- define "gateway.secretFiles" -}}
{{- $v := .Values -}}
{{- $all := list
  (dict "name" "admin" "secret" $v.admin.existingSecret)
  (dict "name" "proxy" "secret" $v.admin.proxy.existingSecret)
  (dict "name" "trusted-keys" "secret" $v.trustedKeys.existingSecret "configMap" $v.trustedKeys.existingConfigMap)
  (dict "name" "notifications" "secret" $v.notifications.existingSecret)
  (dict "name" "tls" "secret" $v.tls.existingSecret)
  (dict "name" "tls-client-ca" "secret" $v.tls.clientCaSecret)
  (dict "name" "probe" "secret" $v.tls.probeSecret)
  (dict "name" "admin-tls" "secret" $v.admin.tls.existingSecret)
  (dict "name" "admin-tls-client-ca" "secret" $v.admin.tls.clientCaSecret)
  (dict "name" "redis-tls" "secret" $v.redis.tlsSecret) -}}
{{- $named := list -}}
{{- range $all }}{{- if or .secret .configMap }}{{- $named = append $named . }}{{- end }}{{- end -}}
{{- $named | toJson -}}
{{- end -}}

{{/* What cannot go together, or cannot work, said before anything is installed. */}}
{{- define "gateway.check" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- if and $several (not .Values.redis.existingSecret) (not .Values.redis.bundled.enabled) -}}
{{- fail "several replicas need one store: set redis.existingSecret, redis.bundled.enabled=true for a trial, or replicas=1 without autoscaling" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.admin.existingSecret) -}}
{{- fail "serviceMonitor needs admin.existingSecret: without tokens the admin port, which has the metrics, is the pod's own" -}}
{{- end -}}
{{- if and .Values.admin.metricsAuth (not .Values.admin.existingSecret) -}}
{{- fail "admin.metricsAuth needs admin.existingSecret: without tokens nobody could show one" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.admin.metricsAuth (not .Values.serviceMonitor.token.existingSecret) -}}
{{- fail "serviceMonitor needs serviceMonitor.token.existingSecret: with admin.metricsAuth a scrape has to show a token" -}}
{{- end -}}
{{- if and .Values.admin.proxy.existingSecret (not .Values.admin.existingSecret) -}}
{{- fail "admin.proxy.existingSecret needs admin.existingSecret: what a group of the proxy's users may do stands in the token file" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCaSecret needs tls.existingSecret: without a certificate of its own the port asks nobody for one" -}}
{{- end -}}
{{- if and .Values.tls.clientCaSecret (not .Values.tls.probeSecret) -}}
{{- fail "tls.clientCaSecret needs tls.probeSecret: a certificate that this authority signed, which the probes show" -}}
{{- end -}}
{{- if and .Values.tls.probeSecret (not .Values.tls.clientCaSecret) -}}
{{- fail "tls.probeSecret needs tls.clientCaSecret: without it nobody asks the probes for a certificate" -}}
{{- end -}}
{{- if and .Values.admin.tls.clientCaSecret (not .Values.admin.tls.existingSecret) -}}
{{- fail "admin.tls.clientCaSecret needs admin.tls.existingSecret: without a certificate of its own the port asks nobody for one" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.admin.tls.clientCaSecret (not .Values.serviceMonitor.tlsConfig) -}}
{{- fail "serviceMonitor needs serviceMonitor.tlsConfig with a cert and a keySecret: admin.tls.clientCaSecret asks Prometheus for them" -}}
{{- end -}}
{{- if and .Values.redis.tlsSecret (not .Values.redis.existingSecret) -}}
{{- fail "redis.tlsSecret needs redis.existingSecret: the address there names the files" -}}
{{- end -}}
{{- if and (eq .Values.models.source "volume") (not .Values.models.volume.claimName) -}}
{{- fail "models.source=volume needs models.volume.claimName" -}}
{{- end -}}
{{- if and (eq .Values.models.source "initContainer") (not .Values.models.initContainer.image) -}}
{{- fail "models.source=initContainer needs models.initContainer.image" -}}
{{- end -}}
{{- if and (eq .Values.models.source "objectStore") (not .Values.models.objectStore.url) -}}
{{- fail "models.source=objectStore needs models.objectStore.url, such as s3://bucket/models" -}}
{{- end -}}
{{- if and .Values.trustedKeys.existingConfigMap .Values.trustedKeys.existingSecret -}}
{{- fail "trustedKeys is one file: set existingConfigMap or existingSecret, not both" -}}
{{- end -}}
{{- if and .Values.gateway.repositoryControl (not .Values.admin.existingSecret) -}}
{{- fail "gateway.repositoryControl needs admin.existingSecret: without tokens orders are taken from the pod itself only" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs: the Gateway that takes the route" -}}
{{- end -}}
{{- end -}}

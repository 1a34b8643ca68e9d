{{- define "lenscore.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "lenscore.selector" -}}
app.kubernetes.io/name: lenscore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lenscore.labels" -}}
{{ include "lenscore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Address of the store: the one given, or the bundled one's. */}}
{{- define "lenscore.store" -}}
{{- if .Values.store.url }}{{ .Values.store.url }}{{ else if .Values.bundledStore.enabled }}s3://{{ .Values.bundledStore.bucket }}/store{{ else }}{{ fail "store.url is empty: set it to s3://bucket/prefix, or enable bundledStore for a look" }}{{ end -}}
{{- end -}}

{{- define "lenscore.endpoint" -}}
{{- if .Values.store.endpoint }}{{ .Values.store.endpoint }}{{ else if .Values.bundledStore.enabled }}http://{{ include "lenscore.name" . }}-store:7070{{ end -}}
{{- end -}}

{{- define "lenscore.prefect" -}}
{{- if .Values.prefect.url }}{{ .Values.prefect.url }}{{ else if .Values.prefect.enabled }}http://{{ include "lenscore.name" . }}-prefect:4200/api{{ else }}{{ fail "prefect.enabled is false and prefect.url is empty: name the address of your Prefect server" }}{{ end -}}
{{- end -}}

{{/* Settings of what speaks to the store and to Prefect; secrets come by reference only. */}}
{{- define "lenscore.env" -}}
- {name: LENSCORE_STORE, value: {{ include "lenscore.store" . | quote }}}
- {name: AWS_REGION, value: {{ .Values.store.region | quote }}}
{{- with include "lenscore.endpoint" . }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
- {name: PREFECT_API_URL, value: {{ include "lenscore.prefect" . | quote }}}
{{- with .Values.prefect.apiKeySecret }}
- name: PREFECT_API_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: PREFECT_API_KEY}}
{{- end }}
- {name: LENSCORE_CLUSTER, value: /etc/lenscore/cluster.json}
- {name: LENSCORE_PARALLEL, value: {{ .Values.worker.parallel | quote }}}
{{- include "lenscore.commonEnv" . }}
{{- end -}}

{{- define "lenscore.commonEnv" }}
- {name: HOME, value: /tmp}
- {name: PREFECT_HOME, value: /tmp/prefect}
- {name: DO_NOT_TRACK, value: "1"}
{{- range $name, $value := .Values.env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{- define "lenscore.envFrom" -}}
{{- with .Values.store.secret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/* Pod Security "restricted". */}}
{{- define "lenscore.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.images.user }}
  runAsGroup: {{ .Values.images.user }}
  fsGroup: {{ .Values.images.user }}
  seccompProfile: {type: RuntimeDefault}
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClass }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "lenscore.containerSecurity" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "lenscore.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: config, mountPath: /etc/lenscore, readOnly: true}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "lenscore.volumes" -}}
- {name: tmp, emptyDir: {}}
- name: config
  configMap: {name: {{ include "lenscore.name" . }}-config}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

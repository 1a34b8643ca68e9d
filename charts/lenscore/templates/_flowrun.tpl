{{/* Base job template of a Kubernetes work pool: a flow run as a pod with the worker's image, account and store. */}}
{{- define "lenscore.flowRun" -}}
variables:
  type: object
  properties:
    name: {title: Name, type: string, description: Name of the Job; Prefect's own by default.}
    namespace: {title: Namespace, type: string, default: {{ .Release.Namespace }}}
    image: {title: Image, type: string, default: {{ .Values.images.flow | quote }}}
    command: {title: Command, type: string, description: "Prefect's own by default."}
    env:
      title: Environment
      type: object
      additionalProperties: {type: string}
      default:
        LENSCORE_STORE: {{ include "lenscore.store" . | quote }}
        LENSCORE_CLUSTER: /etc/lenscore/cluster.json
        LENSCORE_PARALLEL: {{ .Values.worker.parallel | quote }}
        AWS_REGION: {{ .Values.store.region | quote }}
        {{- with include "lenscore.endpoint" . }}
        AWS_ENDPOINT_URL: {{ . | quote }}
        {{- end }}
        HOME: /tmp
        PREFECT_HOME: /tmp/prefect
        {{- range $name, $value := .Values.env }}
        {{ $name }}: {{ $value | quote }}
        {{- end }}
    labels: {title: Labels, type: object, default: {}, additionalProperties: {type: string}}
    memory: {title: Memory, type: string, default: 4Gi}
    finished_job_ttl: {title: Seconds that a finished Job stays, type: integer, default: 86400}
    job_watch_timeout_seconds: {title: Seconds that a flow run may take, type: integer}
    pod_watch_timeout_seconds: {title: Seconds that a pod may take to start, type: integer, default: 600}
    stream_output: {title: Stream output, type: boolean, default: true}
job_configuration:
  name: {{ "'{{ name }}'" }}
  namespace: {{ "'{{ namespace }}'" }}
  command: {{ "'{{ command }}'" }}
  env: {{ "'{{ env }}'" }}
  labels: {{ "'{{ labels }}'" }}
  job_watch_timeout_seconds: {{ "'{{ job_watch_timeout_seconds }}'" }}
  pod_watch_timeout_seconds: {{ "'{{ pod_watch_timeout_seconds }}'" }}
  stream_output: {{ "'{{ stream_output }}'" }}
  job_manifest:
    apiVersion: batch/v1
    kind: Job
    metadata:
      namespace: {{ "'{{ namespace }}'" }}
      labels: {{ "'{{ labels }}'" }}
      generateName: {{ "'{{ name }}-'" }}
    spec:
      backoffLimit: 0
      ttlSecondsAfterFinished: {{ "'{{ finished_job_ttl }}'" }}
      template:
        metadata:
          labels: {{- include "lenscore.labels" . | nindent 12 }}
            app.kubernetes.io/component: flow-run
        spec:
          {{- include "lenscore.podSecurity" . | nindent 10 }}
          serviceAccountName: {{ include "lenscore.name" . }}-flows
          automountServiceAccountToken: true
          restartPolicy: Never
          # Prefect asks for these two here; Kubernetes does not read them.
          completions: 1
          parallelism: 1
          terminationGracePeriodSeconds: 120
          containers:
            - name: prefect-job
              image: {{ "'{{ image }}'" }}
              # Prefect hands its command over as arguments.
              command: [/usr/bin/env]
              env: {{ "'{{ env }}'" }}
              {{- include "lenscore.envFrom" . | nindent 14 }}
              resources: {requests: {cpu: 200m, memory: {{ "'{{ memory }}'" }}}, limits: {memory: {{ "'{{ memory }}'" }}}}
              {{- include "lenscore.containerSecurity" . | nindent 14 }}
              volumeMounts: {{- include "lenscore.mounts" . | nindent 16 }}
          volumes: {{- include "lenscore.volumes" . | nindent 12 }}
{{- end -}}

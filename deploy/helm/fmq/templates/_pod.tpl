{{- /* Labels and annotations of a pod. A changed configuration replaces the pod. */ -}}
{{- define "fmq.podMetadata" -}}
labels:
  {{- with .root.Values.pod.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "fmq.selector" .root | nindent 2 }}
  app.kubernetes.io/component: "{{ .component }}"
  app.kubernetes.io/part-of: fmq
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
  {{- if has .component (list "buffer" "processor") }}
  checksum/processor-config: {{ include (print .root.Template.BasePath "/processor-config.yaml") .root | sha256sum }}
  {{- end }}
  {{- with .annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.pod.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* What the pods of all workloads have. `spread`: the component whose pods spread over nodes and zones. */ -}}
{{- define "fmq.podSpec" -}}
{{- $v := .root.Values -}}
{{- $postgres := include "fmq.isPostgres" .root -}}
serviceAccountName: "{{ include "fmq.serviceAccount" .root }}"
automountServiceAccountToken: false
# Otherwise Kubernetes adds variables such as NAME_PORT for each Service, which could clash with settings.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ $v.pod.terminationGracePeriodSeconds | int64 }}
{{- with $v.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: "{{ . }}"
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $v.pod.priorityClassName }}
priorityClassName: "{{ . }}"
{{- end }}
{{- with $v.pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity | default $v.pod.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .spread }}
{{- if not (kindIs "invalid" $v.pod.topologySpreadConstraints) }}
{{- with $v.pod.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
topologySpreadConstraints:
  {{- range tuple "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "fmq.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: "{{ $.spread }}"
  {{- end }}
{{- end }}
{{- end }}
{{- if or $postgres $v.pod.tolerations }}
tolerations:
  {{- if $postgres }}
  # When its node is gone, a pod is replaced after a minute, not after five. Its messages are in the store or at the broker.
  {{- range tuple "not-ready" "unreachable" }}
  - key: node.kubernetes.io/{{ . }}
    operator: Exists
    effect: NoExecute
    tolerationSeconds: 60
  {{- end }}
  {{- end }}
  {{- with $v.pod.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "fmq.configVolume" -}}
- name: config
  configMap:
    name: "{{ include "fmq.name" . }}-config"
{{- end -}}

{{- /* In memory, within the container's limit: a full /tmp harms only the process that filled it. */ -}}
{{- define "fmq.memoryVolume" -}}
- name: "{{ .name }}"
  emptyDir:
    medium: Memory
    sizeLimit: {{ .size }}
{{- end -}}

{{- define "fmq.secretVolume" -}}
- name: "{{ .name }}"
  secret:
    secretName: "{{ .secret.name }}"
    defaultMode: 0440
    items:
      - key: {{ .secret.key | quote }}
        path: {{ .path }}
{{- end -}}

{{- define "fmq.brokerVolumes" -}}
{{- if .Values.broker.username }}
{{ include "fmq.secretVolume" (dict "name" "broker-password" "secret" .Values.broker.passwordSecret "path" "password") }}
{{- end }}
{{- with .Values.broker.ca.configMap }}
- name: broker-ca
  configMap:
    name: "{{ . }}"
    items:
      - key: {{ $.Values.broker.ca.key | quote }}
        path: ca.crt
{{- end }}
{{- end -}}

{{- define "fmq.postgresVolumes" -}}
{{ include "fmq.memoryVolume" (dict "name" "pgpass" "size" "1Mi") }}
{{ include "fmq.secretVolume" (dict "name" "postgres-password" "secret" .Values.store.postgres.passwordSecret "path" "pgpass") }}
{{- end -}}

{{- define "fmq.processorVolumes" -}}
{{- range .all }}
{{- if .config }}
- name: "config-{{ .name }}"
  configMap:
    name: "{{ include "fmq.name" $.root }}-config-{{ .name }}"
{{- end }}
{{- end }}
{{- if .root.Values.handlers }}
- name: handlers
  configMap:
    name: "{{ include "fmq.name" .root }}-handlers"
{{- end }}
{{- end -}}

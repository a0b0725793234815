{{- define "fmq.lockedDown" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{- define "fmq.imageOf" -}}
image: {{ include "fmq.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{- /* Starting: the store may be checked or migrated. Alive: the loop runs. Ready: the service can work. */ -}}
{{- define "fmq.probes" -}}
startupProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ .patience | default 120 }}
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ .port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{- /* Where a container has the store: in the volume, or what the PostgreSQL driver takes as a password file. */ -}}
{{- define "fmq.storeMount" -}}
{{- if include "fmq.isPostgres" . -}}
- name: pgpass
  mountPath: /run/fmq-postgres
  readOnly: true
{{- else -}}
- name: data
  mountPath: /data
{{- end }}
{{- end -}}

{{- define "fmq.passwordVariables" -}}
{{- if include "fmq.isPostgres" .root }}
- name: PGPASSFILE
  value: /run/fmq-postgres/pgpass
{{- end }}
{{- if and .broker .root.Values.broker.username }}
- name: FMQ_BROKER_PASSWORD_FILE
  value: /run/secrets/fmq-broker/password
{{- end }}
{{- end -}}

{{- define "fmq.brokerMounts" -}}
{{- if .Values.broker.username }}
- name: broker-password
  mountPath: /run/secrets/fmq-broker
  readOnly: true
{{- end }}
{{- if .Values.broker.ca.configMap }}
- name: broker-ca
  mountPath: /run/fmq-broker-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- /* The listener. `leave`: with which it leaves the broker for good. */ -}}
{{- define "fmq.listener" -}}
{{- $listener := .root.Values.listener -}}
- name: listener
  {{- include "fmq.imageOf" (dict "root" .root "image" $listener.image) | nindent 2 }}
  {{- if .leave }}
  args:
    - --leave
  {{- end }}
  envFrom:
    - configMapRef:
        name: "{{ include "fmq.name" .root }}-settings"
  env:
    - name: FMQ_HTTP_PORT
      value: "9464"
    # The client id names the session at the broker, so it is made of what stays when the pod is replaced.
    - name: POD_NAMESPACE
      valueFrom:
        fieldRef:
          fieldPath: metadata.namespace
    {{- if include "fmq.isPostgres" .root }}
    - name: INSTANCE
      valueFrom:
        fieldRef:
          fieldPath: metadata.labels['app.kubernetes.io/instance']
    - name: LISTENER
      valueFrom:
        fieldRef:
          fieldPath: metadata.labels['fmq-listener']
    - name: FMQ_CLIENT_ID
      value: $(POD_NAMESPACE)-$(INSTANCE)-listener-$(LISTENER)
    {{- else }}
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: FMQ_CLIENT_ID
      value: $(POD_NAMESPACE)-$(POD_NAME)
    {{- end }}
    {{- include "fmq.passwordVariables" (dict "root" .root "broker" true) | nindent 4 }}
    {{- with $listener.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: listener-http
      containerPort: 9464
  {{- if not .leave }}
  {{- include "fmq.probes" (dict "port" "listener-http") | nindent 2 }}
  {{- end }}
  resources:
    {{- toYaml $listener.resources | nindent 4 }}
  securityContext:
    {{- include "fmq.lockedDown" . | nindent 4 }}
  volumeMounts:
    {{- include "fmq.storeMount" .root | nindent 4 }}
    - name: config
      mountPath: /etc/fmq
      readOnly: true
    - name: "{{ include "fmq.tmp" (dict "root" .root "name" "listener") }}"
      mountPath: /tmp
    {{- include "fmq.brokerMounts" .root | nindent 4 }}
    {{- with $listener.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* Several containers of a pod each have a /tmp of their own. */ -}}
{{- define "fmq.tmp" -}}
{{- if include "fmq.isPostgres" .root }}tmp{{ else }}{{ .name }}-tmp{{ end -}}
{{- end -}}

{{- define "fmq.processor" -}}
{{- $one := .one -}}
{{- $port := include "fmq.processorPort" (dict "root" .root "position" $one.position) | fromYaml -}}
- name: "{{ ternary "processor" $one.name (not (empty (include "fmq.isPostgres" .root))) }}"
  {{- include "fmq.imageOf" (dict "root" .root "image" $one.image) | nindent 2 }}
  envFrom:
    - configMapRef:
        name: "{{ include "fmq.name" .root }}-settings"
  env:
    - name: FMQ_HTTP_PORT
      value: {{ $port.number | quote }}
    {{- include "fmq.passwordVariables" (dict "root" .root "broker" false) | nindent 4 }}
    {{- range $name, $value := $one.settings }}
    - name: "{{ $name }}"
      value: {{ include "fmq.text" $value | quote }}
    {{- end }}
    {{- with $one.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: "{{ $port.name }}"
      containerPort: {{ $port.number }}
  {{- include "fmq.probes" (dict "port" $port.name) | nindent 2 }}
  resources:
    {{- toYaml $one.resources | nindent 4 }}
  securityContext:
    {{- include "fmq.lockedDown" . | nindent 4 }}
  volumeMounts:
    {{- include "fmq.storeMount" .root | nindent 4 }}
    - name: "{{ ternary (printf "config-%s" $one.name) "config" (not (empty $one.config)) }}"
      mountPath: /etc/fmq
      readOnly: true
    - name: "{{ include "fmq.tmp" (dict "root" .root "name" $one.name) }}"
      mountPath: /tmp
    {{- if .root.Values.handlers }}
    - name: handlers
      mountPath: /handlers
      readOnly: true
    {{- end }}
    {{- with $one.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- define "fmq.fromSettings" -}}
- name: "{{ .name }}"
  valueFrom:
    configMapKeyRef:
      name: "{{ include "fmq.name" .root }}-settings"
      key: {{ .name }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}

{{- define "fmq.web" -}}
{{- $web := .Values.web -}}
- name: web
  {{- include "fmq.imageOf" (dict "root" . "image" $web.image) | nindent 2 }}
  # Not the whole ConfigMap: most of it is for the listener and the processors.
  env:
    {{- include "fmq.fromSettings" (dict "root" . "name" "FMQ_QUEUE_URL") | nindent 4 }}
    - name: FMQ_CONFIG
      value: /etc/fmq/fmq.toml
    {{- range tuple "FMQ_BROKER_URL" "FMQ_BROKER_USERNAME" "FMQ_TLS_CA_FILE" }}
    {{- include "fmq.fromSettings" (dict "root" $ "name" . "optional" true) | nindent 4 }}
    {{- end }}
    {{- include "fmq.passwordVariables" (dict "root" . "broker" true) | nindent 4 }}
    - name: FMQ_HTTP_PORT
      value: "9467"
    - name: FMQ_WEB_USERS_FILE
      value: /run/secrets/fmq-web/users
    {{- $hosts := $web.hosts }}
    {{- if $web.ingress.enabled }}
    {{- $hosts = append $hosts $web.ingress.host | uniq }}
    {{- end }}
    {{- with $hosts }}
    - name: FMQ_WEB_HOSTS
      value: {{ join "," . | quote }}
    {{- end }}
    {{- with $web.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: web
      containerPort: 9466
    - name: web-http
      containerPort: 9467
  {{- include "fmq.probes" (dict "port" "web-http" "patience" 24) | nindent 2 }}
  resources:
    {{- toYaml $web.resources | nindent 4 }}
  securityContext:
    {{- include "fmq.lockedDown" . | nindent 4 }}
  volumeMounts:
    {{- include "fmq.storeMount" . | nindent 4 }}
    - name: config
      mountPath: /etc/fmq
      readOnly: true
    - name: "{{ include "fmq.tmp" (dict "root" . "name" "web") }}"
      mountPath: /tmp
    - name: web-users
      mountPath: /run/secrets/fmq-web
      readOnly: true
    {{- include "fmq.brokerMounts" . | nindent 4 }}
    {{- with $web.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* The driver takes a password file only if nobody but its owner may read it. Files of a Secret belong to root. */ -}}
{{- define "fmq.pgpass" -}}
- name: pgpass
  {{- include "fmq.imageOf" . | nindent 2 }}
  command: ["install", "-m", "0600", "/run/secrets/fmq-postgres/pgpass", "/run/fmq-postgres/pgpass"]
  resources:
    requests:
      cpu: 10m
      memory: 16Mi
    limits:
      memory: 64Mi
  securityContext:
    {{- include "fmq.lockedDown" . | nindent 4 }}
  volumeMounts:
    - name: pgpass
      mountPath: /run/fmq-postgres
    - name: postgres-password
      mountPath: /run/secrets/fmq-postgres
      readOnly: true
{{- end -}}

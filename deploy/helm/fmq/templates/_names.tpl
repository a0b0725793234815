{{- define "fmq.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimAll "-" -}}
{{- else if contains "fmq" .Release.Name -}}
{{- .Release.Name | trunc 30 | trimAll "-" -}}
{{- else -}}
{{- printf "%s-fmq" .Release.Name | trunc 30 | trimAll "-" -}}
{{- end -}}
{{- end -}}

{{- /* What selects the pods of this release, and no others. */ -}}
{{- define "fmq.selector" -}}
app.kubernetes.io/name: fmq
app.kubernetes.io/instance: "{{ .Release.Name }}"
{{- end -}}

{{- define "fmq.labels" -}}
{{ include "fmq.selector" . }}
app.kubernetes.io/part-of: fmq
app.kubernetes.io/managed-by: "{{ .Release.Service }}"
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "fmq.metadata" -}}
name: "{{ .name }}"
namespace: "{{ .root.Release.Namespace }}"
labels:
  {{- include "fmq.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: "{{ . }}"
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* The text of a setting. Helm has numbers as floating-point ones, and prints large ones as 1e+06. */ -}}
{{- define "fmq.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "fmq.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "fmq.name" .) -}}
{{- end -}}

{{- define "fmq.image" -}}
{{- $image := .image -}}
{{- $name := required "image.repository is missing: expected the name of an image" $image.repository -}}
{{- if .root.Values.image.registry -}}
{{- $name = printf "%s/%s" .root.Values.image.registry $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "fmq.isPostgres" -}}
{{- if eq .Values.store.kind "postgres" }}true{{ end -}}
{{- end -}}

{{- /* Whether several listeners share the topics, now or after a scale-out. */ -}}
{{- define "fmq.isShared" -}}
{{- if or (include "fmq.isPostgres" .) (gt (int .Values.store.shards) 1) .Values.keda.enabled }}true{{ end -}}
{{- end -}}

{{- /* The dot is in no namespace: with a hyphen, namespace a and name b-c would share with namespace a-b and name c. */ -}}
{{- define "fmq.topics" -}}
{{- $group := .Values.sharedGroup | default (printf "%s.%s" .Release.Namespace (include "fmq.name" .)) -}}
{{- $shared := include "fmq.isShared" . -}}
{{- $found := list -}}
{{- range .Values.topics -}}
{{- $found = append $found (ternary (printf "$share/%s/%s" $group .) . (and (not (empty $shared)) (not (hasPrefix "$share/" .)))) -}}
{{- end -}}
{{- join "," $found -}}
{{- end -}}

{{- define "fmq.brokerPort" -}}
{{- $url := urlParse .Values.broker.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (get (dict "mqtt" "1883" "mqtts" "8883" "ws" "80" "wss" "443") $url.scheme) -}}
{{- end -}}

{{- /* The entries of `processors`, each with what it does not set itself from `processor`; with its position. */ -}}
{{- define "fmq.processors" -}}
{{- $all := list -}}
{{- range $position, $one := .Values.processors -}}
{{- $merged := mustMergeOverwrite (deepCopy $.Values.processor) (deepCopy $one) -}}
{{- $all = append $all (set $merged "position" $position) -}}
{{- end -}}
{{- dict "all" $all | toJson -}}
{{- end -}}

{{- /* The processors of one pod have different ports. */ -}}
{{- define "fmq.processorPort" -}}
{{- if or (eq (int .position) 0) (include "fmq.isPostgres" .root) -}}
name: processor-http
number: 9465
{{- else -}}
name: "processor{{ add1 .position }}-http"
number: {{ add 9470 .position }}
{{- end -}}
{{- end -}}

{{- define "fmq.kedaTarget" -}}
{{- if include "fmq.isPostgres" . -}}
{{- printf "%s-%s" (include "fmq.name" .) .Values.keda.processor -}}
{{- else -}}
{{- include "fmq.name" . -}}
{{- end -}}
{{- end -}}

{{- /* What no schema can see. All of it is reported at once. */ -}}
{{- define "fmq.check" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $postgres := include "fmq.isPostgres" . -}}
{{- $name := include "fmq.name" . -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $name) -}}
{{- $wrong = append $wrong (printf "release %q: objects would be named %q: expected a letter, and then letters, digits and hyphens. Choose another name, or set fullnameOverride" .Release.Name $name) -}}
{{- end -}}
{{- if not $v.broker.url -}}
{{- $wrong = append $wrong "broker.url is missing: expected the broker's address, such as mqtts://broker.example.com:8883" -}}
{{- else if regexMatch "^[^/]*//[^/]*@" $v.broker.url -}}
{{- $wrong = append $wrong "broker.url contains a user: expected broker.username and broker.passwordSecret instead" -}}
{{- else if contains "?" $v.broker.url -}}
{{- $wrong = append $wrong "broker.url contains a query, which is a secret: expected it in a file of a Secret (pod.extraVolumes, listener.extraVolumeMounts), and settings.FMQ_BROKER_QUERY_FILE" -}}
{{- else if not (regexMatch "^(mqtts?|wss?)://[^/ ]+(/.*)?$" $v.broker.url) -}}
{{- $wrong = append $wrong (printf "broker.url=%q: expected mqtt://, mqtts://, ws:// or wss:// and a host" $v.broker.url) -}}
{{- end -}}
{{- if contains "?" $v.broker.username -}}
{{- $wrong = append $wrong "broker.username contains parameters after \"?\", which are a secret: expected them in a file of a Secret (pod.extraVolumes, listener.extraVolumeMounts), and settings.FMQ_BROKER_QUERY_FILE" -}}
{{- end -}}
{{- if and $postgres (not $v.store.postgres.url) -}}
{{- $wrong = append $wrong "store.postgres.url is missing: expected postgresql://USER@HOST/DATABASE?sslmode=require for store.kind=postgres" -}}
{{- end -}}
{{- if regexMatch "//[^/@]*:[^/@]*@" $v.store.postgres.url -}}
{{- $wrong = append $wrong "store.postgres.url contains a password: expected it in store.postgres.passwordSecret instead" -}}
{{- end -}}
{{- if and $v.networkPolicy.enabled (not $v.broker.peers) -}}
{{- $wrong = append $wrong "broker.peers is empty: name the broker's addresses, or set networkPolicy.enabled=false" -}}
{{- end -}}
{{- if and $postgres $v.networkPolicy.enabled (not $v.store.postgres.peers) -}}
{{- $wrong = append $wrong "store.postgres.peers is empty: name the database's addresses, or set networkPolicy.enabled=false" -}}
{{- end -}}
{{- $names := list -}}
{{- range $v.processors -}}
{{- if has .name $names -}}
{{- $wrong = append $wrong (printf "processors: the name %q occurs twice: each processor needs a name of its own" .name) -}}
{{- end -}}
{{- if or (has .name (list "listener" "web" "backup" "restore" "leave" "upload")) (hasPrefix "listener-" .name) -}}
{{- $wrong = append $wrong (printf "processors: the name %q is taken: choose another one" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- if and (not $postgres) (gt (len $v.processors) 9) -}}
{{- $wrong = append $wrong (printf "processors has %d entries: expected at most 9 for store.kind=sqlite" (len $v.processors)) -}}
{{- end -}}
{{- if and $v.keda.enabled $postgres (not (has $v.keda.processor $names)) -}}
{{- $wrong = append $wrong (printf "keda.processor=%q: expected the name of an entry of processors (%s)" $v.keda.processor (join ", " $names)) -}}
{{- end -}}
{{- if and $v.keda.enabled (lt (int $v.keda.max) (include "fmq.kedaMin" . | int)) -}}
{{- $wrong = append $wrong (printf "keda.max=%d: expected at least keda.min, which is %s" (int $v.keda.max) (include "fmq.kedaMin" .)) -}}
{{- end -}}
{{- if and $v.backup.enabled $postgres -}}
{{- $wrong = append $wrong "backup.enabled=true: expected false for store.kind=postgres. Use the tools of PostgreSQL" -}}
{{- end -}}
{{- if and $v.backup.enabled (or (gt (int $v.store.shards) 1) $v.keda.enabled) (not $v.backup.volume.existingClaim) (ne $v.backup.volume.accessMode "ReadWriteMany") -}}
{{- $wrong = append $wrong (printf "backup.volume.accessMode=%q: expected ReadWriteMany for several shards, which write to one volume" $v.backup.volume.accessMode) -}}
{{- end -}}
{{- if and (not $v.backup.enabled) (or $v.backup.restore $v.backup.upload.enabled) -}}
{{- $wrong = append $wrong "backup.enabled=false: expected true for backup.restore and backup.upload" -}}
{{- end -}}
{{- if and $v.backup.restore (not (regexMatch (printf "^%s-[0-9]+/" $name) $v.backup.restore)) -}}
{{- $wrong = append $wrong (printf "backup.restore=%q: no pod has this name: expected %s-0/NAME.db, or that of another shard" $v.backup.restore $name) -}}
{{- end -}}
{{- if and $v.backup.upload.enabled (not (and $v.backup.upload.image $v.backup.upload.command)) -}}
{{- $wrong = append $wrong "backup.upload.image or backup.upload.command is missing: expected what copies /backup to your object store" -}}
{{- end -}}
{{- if and $v.web.ingress.enabled (not (and $v.web.enabled $v.web.ingress.host)) -}}
{{- $wrong = append $wrong "web.ingress.enabled=true: expected web.enabled=true and web.ingress.host" -}}
{{- end -}}
{{- $set := list "FMQ_QUEUE_URL" "FMQ_BROKER_URL" "FMQ_BROKER_USERNAME" "FMQ_CONFIG" "FMQ_TLS_CA_FILE" "FMQ_HTTP_PORT" "FMQ_CLIENT_ID" "FMQ_BROKER_PASSWORD_FILE" -}}
{{- if hasKey ($v.settings | default dict) "FMQ_TOPICS" -}}{{- /* a processor may have its own */ -}}
{{- $wrong = append $wrong "settings.FMQ_TOPICS: the chart sets it from other values, which values.yaml lists" -}}
{{- end -}}
{{- range $one := append $v.processors (dict "settings" $v.settings) -}}
{{- range $name, $_ := $one.settings -}}
{{- if has $name $set -}}
{{- $wrong = append $wrong (printf "settings.%s: the chart sets it from other values, which values.yaml lists" $name) -}}
{{- end -}}
{{- if regexMatch "(PASSWORD|SECRETS?|HEADERS|QUERY|SQL_URL|TOKEN)$" $name -}}
{{- $wrong = append $wrong (printf "settings.%s is a secret: expected %s_FILE, with a file of a Secret from pod.extraVolumes" $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $postgres -}}
{{- $live := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "fmq.name" .) -}}
{{- if and $live (not $v.keda.enabled) (gt (int (dig "spec" "replicas" 1 $live)) (int $v.store.shards)) -}}
{{- $wrong = append $wrong (printf "store.shards=%d: there are %d. First run scale_in.py --namespace %s --name %s --to %d, which makes the others leave" (int $v.store.shards) (int $live.spec.replicas) .Release.Namespace (include "fmq.name" .) (int $v.store.shards)) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nInvalid values:\n  %s\n" (join "\n  " $wrong)) -}}
{{- end -}}
{{- end -}}

{{- define "fmq.kedaMin" -}}
{{- if .Values.keda.min -}}
{{- .Values.keda.min -}}
{{- else if include "fmq.isPostgres" . -}}
{{- $found := .Values.processor.replicas -}}
{{- range .Values.processors -}}
{{- if and (eq .name $.Values.keda.processor) (hasKey . "replicas") -}}
{{- $found = .replicas -}}
{{- end -}}
{{- end -}}
{{- $found -}}
{{- else -}}
{{- .Values.store.shards -}}
{{- end -}}
{{- end -}}

{{- define "exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: names of pods and the label with the revision of a StatefulSet are longer. */}}
{{- define "exporter.fullname" -}}
{{- $name := include "exporter.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "exporter.labels" -}}
{{ include "exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "exporter.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "exporter.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "exporter.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The URL of the database; empty: the state is a file. */}}
{{- define "exporter.database" -}}
{{- dig "state" "url" "" .Values.settings -}}
{{- end -}}

{{/* What the schema of the values cannot say, or not clearly. */}}
{{- define "exporter.checks" -}}
{{- if and (gt (int .Values.replicas) 1) (not (include "exporter.database" .)) -}}
{{- fail (printf "replicas: %d needs settings.state.url, a PostgreSQL database: a state file has one writer, and every replica would page" (int .Values.replicas)) -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (ne (dig "select" "shard" "auto" .Values.settings) "auto") -}}
{{- fail (printf "settings.select.shard: all replicas would monitor shard %s; remove it, or install one release with one replica per shard" .Values.settings.select.shard) -}}
{{- end -}}
{{- range $name, $from := dict "listen_address" "the value port" "config_file" "the value webConfig" "advertise_url" "the names of the pods" -}}
{{- if hasKey ($.Values.settings.web | default dict) $name -}}
{{- fail (printf "settings.web.%s: remove it; the chart sets it from %s" $name $from) -}}
{{- end -}}
{{- end -}}
{{- if hasKey (.Values.settings.state | default dict) "path" -}}
{{- fail "settings.state.path: remove it; the chart sets it, see the value persistence" -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (not .Values.prometheusRule.rules) (omit (.Values.settings.alerts | default dict) "runbook_url" "owner_tags") -}}
{{- fail "prometheusRule: settings.alerts differs from the defaults, of which the chart's rules are made; set prometheusRule.rules to the output of `workload-exporter rules --config.file=…`" -}}
{{- end -}}
{{- end -}}

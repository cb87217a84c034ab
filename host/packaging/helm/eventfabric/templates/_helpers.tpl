{{- define "eventfabric.name" -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "eventfabric.selector" -}}
app.kubernetes.io/name: eventfabric
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "eventfabric.labels" -}}
{{ include "eventfabric.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

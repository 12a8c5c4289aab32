{{- define "vpcwire.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* STATUS: 0 serving; a node that only wants an address (exit 4) is alive and ready */ -}}
{{- define "vpcwire.probe" -}}
exec: {command: [/bin/sh, -c, "vpcwirectl --json status >/dev/null; s=$?; [ $s -eq 0 ] || [ $s -eq 4 ]"]}
{{ toYaml . }}
{{- end }}

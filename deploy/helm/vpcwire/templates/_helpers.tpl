{{- define "vpcwire.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* STATUS: 0 serving; a node that only wants an address (exit 4) is alive and ready */ -}}
{{- define "vpcwire.probe" -}}
exec: {command: [/bin/sh, -c, "vpcwirectl --json status >/dev/null; s=$?; [ $s -eq 0 ] || [ $s -eq 4 ]"]}
{{ toYaml . }}
{{- end }}

{{- define "vpcwire.feed" -}}
image: {{ include "vpcwire.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  runAsUser: 0
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  {{- toYaml .Values.resources.feed | nindent 2 }}
volumeMounts:
  - {name: policies, mountPath: /run/vpcwire/policy.d}
  - {name: api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}

{{- define "vpcwire.kinds" -}}
{{ printf "--kinds=%s" (join "," .Values.feed.kinds) | quote }}
{{- end }}

{{- /* what vpcwire-feed asks for, by --kinds' name: API group and resource; a test compares it with feed/kinds.c */ -}}
{{- define "vpcwire.rules" -}}
namespaces: ["", namespaces]
pods: ["", pods]
nodes: ["", nodes]
services: ["", services]
endpointslices: [discovery.k8s.io, endpointslices]
networkpolicies: [networking.k8s.io, networkpolicies]
clusternetworkpolicies: [policy.networking.k8s.io, clusternetworkpolicies]
adminnetworkpolicies: [policy.networking.k8s.io, adminnetworkpolicies]
baselineadminnetworkpolicies: [policy.networking.k8s.io, baselineadminnetworkpolicies]
aws-clusternetworkpolicies: [networking.k8s.aws, clusternetworkpolicies]
aws-applicationnetworkpolicies: [networking.k8s.aws, applicationnetworkpolicies]
aws-policyendpoints: [networking.k8s.aws, policyendpoints]
eniconfigs: [crd.k8s.amazonaws.com, eniconfigs]
{{- end }}

{{/* The labels of a workload's pods: dict "root" $ "component" "web". */}}
{{- define "product.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "product.labels" -}}
{{ include "product.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* dict "root" $ "stage" "ready" */}}
{{- define "product.image" -}}
{{ printf "dm.test/%s:%s" .stage .root.Values.image.tag | quote }}
{{- end -}}

{{/* A map as a list of variables: dict "prefix" "" "values" map */}}
{{- define "product.env" -}}
{{- $prefix := .prefix }}
{{- range $name, $value := .values }}
{{- if kindIs "map" $value }}
{{- include "product.env" (dict "prefix" (printf "%s%s_" $prefix $name) "values" $value) }}
{{- else if not (kindIs "invalid" $value) }}
- name: {{ printf "%s%s" $prefix $name | quote }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "product.host" -}}
{{ .Values.ingress.host | default (printf "%s.%s" .Release.Name .Values.ingress.domain) }}
{{- end -}}

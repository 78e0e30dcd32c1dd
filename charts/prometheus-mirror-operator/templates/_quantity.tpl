{{/*
A quantity as the API server writes it, for tools that compare what was applied with what there is:
500m for 0.5, 1 for 1000m, 1Gi for 1024Mi. Others are left as they are. Takes a number or a text.
*/}}
{{- define "prometheus-mirror-operator.quantity" -}}
{{- /* A number may have more digits than Helm prints. */}}
{{- $text := . | toJson | trimAll "\"" }}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text }}
{{- $unit := trimPrefix $number $text }}
{{- $base := hasSuffix "i" $unit | ternary 1024 1000 }}
{{- $units := hasSuffix "i" $unit | ternary (list "" "Ki" "Mi" "Gi" "Ti" "Pi" "Ei") (list "m" "" "k" "M" "G" "T" "P" "E") }}
{{- $position := -1 }}
{{- range $index, $known := $units }}
  {{- if eq $known $unit }}{{ $position = $index }}{{ end }}
{{- end }}
{{- $fraction := regexReplaceAll "^[0-9]+[.]?|0+$" $number "" }}
{{- if not (contains "." $number) }}{{ $fraction = "" }}{{ end }}
{{- $value := regexReplaceAll "[.].*" $number "" | atoi }}
{{- if and $fraction (gt $position 0) (lt (len $fraction) 4) }}
  {{- /* In the next smaller unit. */}}
  {{- $scale := get (dict "1" 10 "2" 100 "3" 1000) (len $fraction | toString) }}
  {{- $scaled := mul (add (mul $value $scale) (atoi $fraction)) $base }}
  {{- if eq (mod $scaled $scale) 0 }}
    {{- $value = div $scaled $scale }}
    {{- $position = sub $position 1 }}
    {{- $fraction = "" }}
  {{- end }}
{{- end }}
{{- if or (lt $position 0) $fraction (gt (len $number) 15) }}
  {{- $text }}
{{- else if eq (int64 $value) 0 }}
  {{- 0 }}
{{- else }}
  {{- $unit = index $units $position }}
  {{- $whole := true }}
  {{- range $index, $next := $units }}
    {{- if and $whole (gt $index (int $position)) }}
      {{- $whole = eq (mod $value $base) 0 }}
      {{- if $whole }}{{ $value = div $value $base }}{{ $unit = $next }}{{ end }}
    {{- end }}
  {{- end }}
  {{- $value }}{{ $unit }}
{{- end }}
{{- end }}

{{/* The operator's resources. */}}
{{- define "prometheus-mirror-operator.resources" -}}
{{- range $kind, $quantities := omit .Values.resources "claims" }}
{{- with $quantities }}
{{ $kind }}:
  {{- range $name, $quantity := . }}
  {{ $name }}: {{ include "prometheus-mirror-operator.quantity" $quantity | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.resources.claims }}
claims:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

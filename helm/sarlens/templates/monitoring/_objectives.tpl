{{- /* The text of the rules with the objectives of the values, which replace those of the file.
Arguments: text and objectives. */}}
{{- define "sarlens.objectives" -}}
{{- $text := .text }}
{{- range $record, $percent := dict "availability" .objectives.availabilityPercent "latency" .objectives.latencyPercent "first_token" .objectives.firstTokenPercent }}
{{- $budget := divf (subf 100 $percent) 100 | printf "%.6g" }}
{{- $text = regexReplaceAll (printf "(sarlens:%s:error_budget\n\\s+expr: vector)\\([0-9.]+\\)" $record) $text (printf "${1}(%s)" $budget) }}
{{- end }}
{{- $slow := .objectives.latencySeconds }}
{{- $first := .objectives.firstTokenSeconds }}
{{- $text = replace "take over 10 s." (printf "take over %v s." $slow) $text }}
{{- $text = replace "after more than 5 s." (printf "after more than %v s." $first) $text }}
{{- $text = regexReplaceAll "(duration_seconds_bucket\\{[^}]*le=)\"10.0\"" $text (printf "${1}%q" (include "sarlens.boundary" $slow)) }}
{{- regexReplaceAll "(first_token_seconds_bucket\\{le=)\"5.0\"" $text (printf "${1}%q" (include "sarlens.boundary" $first)) }}
{{- end }}

{{- /* A boundary of a histogram as Prometheus writes it: 10.0 or 2.5. */}}
{{- define "sarlens.boundary" -}}
{{- $text := toString . }}
{{- ternary $text (printf "%s.0" $text) (contains "." $text) -}}
{{- end }}

{{- define "reconciler.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "reconciler.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "reconciler.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "reconciler.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change in the life of a release: a Deployment's selector cannot be edited. */}}
{{- define "reconciler.selector" -}}
app.kubernetes.io/name: {{ include "reconciler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: daemon
{{- end -}}

{{- define "reconciler.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "reconciler.labels" -}}
{{ include "reconciler.selector" . }}
{{ include "reconciler.commonLabels" . }}
{{- end -}}

{{- define "reconciler.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "reconciler.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name: name the account that the pods run as, or let the chart make it (serviceAccount.create)" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "reconciler.image" -}}
{{- $repository := required "image.repository: name the image, such as registry.example.com/reconciler; docs/helm.md tells how to build it" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The namespaces of apps, as a JSON list. */}}
{{- define "reconciler.namespaces" -}}
{{- .Values.namespaces | default (list .Release.Namespace) | uniq | toJson -}}
{{- end -}}

{{/* What the chart adds to the configuration. It is fixed when a daemon starts, so a change of it is a change of the pods, too. */}}
{{- define "reconciler.decided" -}}
{{- if .Values.monitoring.enabled }}
monitoring: {address: {{ printf "%s:%d" .Values.listenAddress (int .Values.monitoring.port) | quote }}}
{{- end }}
{{- if .Values.highAvailability.enabled }}
{{- $group := dict "group" (include "reconciler.fullname" .) }}
highAvailability: {{ merge (deepCopy (.Values.config.highAvailability | default dict)) $group | toJson }}
{{- end }}
{{- if .Values.config.webhook }}
webhook: {address: {{ printf "%s:%d" .Values.listenAddress (int .Values.webhook.port) | quote }}}
{{- end }}
{{- end -}}

{{/* The rules of the Roles in the namespaces of apps, as YAML; from files/rules.yaml, by feature. */}}
{{- define "reconciler.rules" -}}
{{- $table := .Files.Get "files/rules.yaml" | fromYaml -}}
{{- $rules := get $table "always" -}}
{{- range $feature, $wanted := .Values.rbac.features -}}
{{- if and $wanted (not (hasKey $table $feature)) -}}
{{- fail (printf "rbac.features.%s: there are no rules for it" $feature) -}}
{{- end -}}
{{- if $wanted -}}
{{- $rules = concat $rules (get $table $feature) -}}
{{- end -}}
{{- end -}}
{{- $rules = concat $rules .Values.rbac.extraRules -}}
{{- range $rule := $rules }}
{{- $verbs := $rule.verbs -}}
{{- /* Where accounts do the rest, the daemon's own are its watches and the Events. */ -}}
{{- if and (not $.Values.rbac.writes) (not (has "events" $rule.resources)) -}}
{{- $verbs = has "watch" $rule.verbs | ternary (list "list" "watch") (list) -}}
{{- end }}
{{- if $verbs }}
- {{ merge (dict "verbs" $verbs) (omit $rule "verbs") | toYaml | nindent 2 | trim }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The Secrets that the configuration names (secretRef), as JSON: namespace → names. */}}
{{- define "reconciler.secretRefs" -}}
{{- $found := dict -}}
{{- range $each := concat (.Values.config.sources | default list) (.Values.config.notifications | default list) -}}
{{- with $each.secretRef -}}
{{- $namespace := .namespace | default "default" -}}
{{- $_ := set $found $namespace (append (get $found $namespace | default list) .name | uniq | sortAlpha) -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{- define "reconciler.boundToPods" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "reconciler.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* Pod Security "restricted". Not to be weakened by a value. */}}
{{- define "reconciler.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "reconciler.podSecurity" -}}
{{- $fixed := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- merge $fixed .Values.podSecurityContext | toYaml -}}
{{- end -}}

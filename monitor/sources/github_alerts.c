#include "monitor/sources/github.h"

/* Security alerts. What is one alert to GitHub is one here, by its number. */

struct alert_form {
	const char *name;                     /* alertname */
	const char *package, *rule, *summary; /* paths; NULL: the event has none */
	const char *severity[2];              /* paths, the first that says something */
	const char *severity_default;
};

static int alert_read(struct delivery *g, const struct alert_form *form, struct why *out_why)
{
	const char *number = at_number(g, "alert.number"), *severity = form->severity_default;

	if (!at(g, "alert"))
		return why_set(out_why, ERR_INVALID, "alert: missing");
	number = number ? number : at_number(g, "alert.id");
	if (!number)
		return why_set(out_why, ERR_INVALID, "alert.number: missing");
	for (size_t i = 0; i < ARRAY_SIZE(form->severity); i++) {
		const char *text = form->severity[i] ? at_text(g, form->severity[i]) : NULL;

		if (text && severity_from_text(text)) {
			severity = text;
			break;
		}
	}
	add_label(g, "alertname", form->name);
	add_label(g, "repository", g->repository);
	add_label(g, "number", number);
	add_label(g, "severity", severity);
	add_label(g, "package", form->package ? at_text(g, form->package) : NULL);
	add_label(g, "rule", form->rule ? at_text(g, form->rule) : NULL);
	add_annotation(g, "github_event", g->event);
	add_annotation(g, "actor", g->sender);
	add_annotation(g, "default_branch", at_text(g, "repository.default_branch"));
	add_annotation(g, "installation_id", at_number(g, "installation.id"));
	add_annotation(g, "state", at_text(g, "alert.state"));
	name_alert(g, "", form->name, number);
	g->d.status = g->means;
	g->d.per_body = true;
	g->d.summary = at_text(g, form->summary);
	g->d.generator_url = at_text(g, "alert.html_url");
	/* Opened again, it begins now; what it says is when it began first. */
	if (str_starts(g->action, "create"))
		return read_time(g, "alert.created_at", &g->d.starts_at_ms, out_why);
	return 0;
}

static int alert_take(struct delivery *g, const struct alert_form *form, struct why *out_why)
{
	int rc = alert_read(g, form, out_why);

	if (!rc)
		draft_add(g->r, &g->d);
	return rc;
}

int read_dependabot(struct delivery *g, struct why *out_why)
{
	static const struct alert_form form = {
		.name = "DependabotAlert",
		.package = "alert.dependency.package.name",
		.rule = "alert.security_advisory.ghsa_id",
		.summary = "alert.security_advisory.summary",
		.severity = {"alert.security_advisory.severity",
			     "alert.security_vulnerability.severity"},
		.severity_default = "warning",
	};

	add_annotation(g, "cve", at_text(g, "alert.security_advisory.cve_id"));
	add_annotation(g, "manifest", at_text(g, "alert.dependency.manifest_path"));
	add_annotation(g, "ecosystem", at_text(g, "alert.dependency.package.ecosystem"));
	add_annotation(g, "fixed_in",
		       at_text(g, "alert.security_vulnerability.first_patched_version.identifier"));
	return alert_take(g, &form, out_why);
}

/* What Dependabot's alerts were called before: the same numbers. */
int read_vulnerability(struct delivery *g, struct why *out_why)
{
	static const struct alert_form form = {
		.name = "DependabotAlert",
		.package = "alert.affected_package_name",
		.rule = "alert.ghsa_id",
		.summary = "alert.external_identifier",
		.severity = {"alert.severity"},
		.severity_default = "warning",
	};

	add_annotation(g, "cve", at_text(g, "alert.external_identifier"));
	add_annotation(g, "fixed_in", at_text(g, "alert.fixed_in"));
	return alert_take(g, &form, out_why);
}

int read_code_scanning(struct delivery *g, struct why *out_why)
{
	static const struct alert_form form = {
		.name = "CodeScanningAlert",
		.rule = "alert.rule.id",
		.summary = "alert.rule.description",
		.severity = {"alert.rule.security_severity_level", "alert.rule.severity"},
		.severity_default = "warning",
	};

	add_annotation(g, "tool", at_text(g, "alert.tool.name"));
	add_annotation(g, "ref", at_text(g, "ref"));
	add_annotation(g, "sha", at_text(g, "commit_oid"));
	add_annotation(g, "path", at_text(g, "alert.most_recent_instance.location.path"));
	return alert_take(g, &form, out_why);
}

int read_secret_scanning(struct delivery *g, struct why *out_why)
{
	static const struct alert_form form = {
		.name = "SecretScanningAlert",
		.rule = "alert.secret_type",
		.summary = "alert.secret_type_display_name",
		.severity_default = "critical",
	};

	return alert_take(g, &form, out_why);
}

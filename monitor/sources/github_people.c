#include "monitor/sources/github.h"

/* What people do: pushes, pull requests, reviews, comments, buttons. */

#define BRANCH_REF "refs/heads/"

/* ---- the end of a branch, and what links a pull request to one ---- */

/* Nothing of this branch matters any more. */
static int branch_ends(struct delivery *g, const char *branch, const char *how, int64_t ends_ms)
{
	g->d.summary = how;
	draft_branch(g, branch, NULL);
	name_alert(g, branch, "branch", "");
	g->d.status = HEALBUS__STATUS__STATUS_RESOLVED;
	g->d.ends_at_ms = ends_ms;
	g->d.covers = true;
	draft_add(g->r, &g->d);
	return 0;
}

static int pull_branch(struct delivery *g, const char **out, struct why *out_why)
{
	int rc = need_text(g, "pull_request.head.ref", out, out_why);

	if (!rc && !at_number(g, "pull_request.number"))
		rc = why_set(out_why, ERR_INVALID, "pull_request.number: missing");
	if (rc)
		return rc;
	*out = branch_of(g, *out, at_text(g, "pull_request.head.repo.full_name"));
	add_annotation(g, "pr", at_number(g, "pull_request.number"));
	add_annotation(g, "base", at_text(g, "pull_request.base.ref"));
	return 0;
}

/* Which branch it is: a comment does not say. */
int read_pull_request(struct delivery *g, struct why *out_why)
{
	const char *branch;
	int rc = pull_branch(g, &branch, out_why);

	if (rc)
		return rc;
	draft_branch(g, branch, at_text(g, "pull_request.head.sha"));
	draft_note(g, branch);
	return 0;
}

int read_pull_closed(struct delivery *g, struct why *out_why)
{
	const json_t *merged = at(g, "pull_request.merged");
	const char *branch;
	int64_t ends_ms = 0;
	int rc = pull_branch(g, &branch, out_why);

	if (!rc)
		rc = read_time(g, "pull_request.closed_at", &ends_ms, out_why);
	if (rc)
		return rc;
	return branch_ends(g, branch,
			   arena_printf(g->r->arena, "pull request %s %s",
					at_number(g, "pull_request.number"),
					json_is_true(merged) ? "merged" : "closed"),
			   ends_ms);
}

int read_delete(struct delivery *g, struct why *out_why)
{
	const char *type, *branch;
	int rc = need_text(g, "ref_type", &type, out_why);

	if (!rc)
		rc = need_text(g, "ref", &branch, out_why);
	if (rc)
		return rc;
	return str_eq(type, "branch") ? branch_ends(g, branch, "branch deleted", 0)
				      : ignore(g, "tag");
}

/* Its temporary branch is gone, whatever came of it. */
int read_merge_group(struct delivery *g, struct why *out_why)
{
	const char *ref;
	int rc = need_text(g, "merge_group.head_ref", &ref, out_why);

	if (rc)
		return rc;
	if (str_starts(ref, BRANCH_REF))
		ref += sizeof(BRANCH_REF) - 1;
	return branch_ends(g, ref, "merge group over", 0);
}

/* ---- commands ---- */

static int draft_command(struct delivery *g, const char *verb, const char *text)
{
	Healbus__Command *c = arena_alloc(g->r->arena, sizeof(*c));
	char id[ID_BYTES];

	if (!c)
		return ERR_TOO_LARGE;
	healbus__command__init(c);
	id_make(id, "command", g->r->raw_id, verb);
	c->id = arena_strdup(g->r->arena, id);
	c->verb = arena_strdup(g->r->arena, verb);
	c->text = wire_text(g->r->arena, text, strlen(text), WIRE_LINE_MAX);
	c->by = wire_text(g->r->arena, g->sender, strlen(g->sender), 64);
	SET(c, at_ms, g->r->time_ms);
	g->d.command = c;
	g->d.starts_at_ms = g->r->time_ms;
	g->d.summary = arena_printf(g->r->arena, "%s: %s asks to %s %s", g->repository, g->sender,
				    verb, text);
	draft_add(g->r, &g->d);
	return 0;
}

static const char *const verbs[] = {"fix", "retry", "stop", "status"};

static const char *verb_find(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strlen(verbs[i]) == len && strncasecmp(verbs[i], word, len) == 0)
			return verbs[i];
	}
	return NULL;
}

/* The first line of a text that begins with "/heal", outside of quoted code. */
static bool heal_line(const char *body, const char **out_rest, size_t *out_len)
{
	bool code = false;

	for (const char *line = body, *next; *line; line = next) {
		size_t len = strcspn(line, "\r\n"), lead = strspn(line, " \t");

		next = line + len + strspn(line + len, "\r\n");
		code ^= str_starts(line + MIN(lead, len), "```");
		if (code || lead > 3 || len < lead + 5 ||
		    strncasecmp(line + lead, "/heal", 5) != 0 ||
		    (len > lead + 5 && !strchr(" \t", line[lead + 5])))
			continue;
		*out_rest = line + lead + 5;
		*out_len = len - lead - 5;
		return true;
	}
	return false;
}

/* Who may change the repository by GitHub's own word, or is listed. */
static bool may_command(const struct delivery *g, const char *association)
{
	static const char *const writers[] = {"OWNER", "MEMBER", "COLLABORATOR"};

	if (login_in(&g->rules->commanders, g->sender))
		return true;
	for (size_t i = 0; association && i < ARRAY_SIZE(writers); i++) {
		if (str_eq(association, writers[i]))
			return true;
	}
	return false;
}

static bool is_bot(const struct delivery *g, const char *type)
{
	return (type && str_eq(type, "Bot")) || strstr(g->sender, "[bot]");
}

/* 0 with a command in the draft or a reason; `object` is "comment" or "review". */
static int command_read(struct delivery *g, const char *object, const char *body)
{
	char path[48];
	const char *rest, *verb;
	size_t len, skip, word;

	if (!body || !heal_line(body, &rest, &len))
		return ignore(g, "no_command");
	snprintf(path, sizeof(path), "%s.user.type", object);
	if (is_bot(g, at_text(g, path)) || is_bot(g, at_text(g, "sender.type")))
		return ignore(g, "bot");
	snprintf(path, sizeof(path), "%s.performed_via_github_app", object);
	if (at(g, path))
		return ignore(g, "bot");
	snprintf(path, sizeof(path), "%s.author_association", object);
	if (!may_command(g, at_text(g, path)))
		return ignore(g, "not_allowed");
	skip = MIN(strspn(rest, " \t"), len);
	word = MIN(strcspn(rest + skip, " \t\r\n"), len - skip);
	verb = verb_find(rest + skip, word);
	if (!verb)
		return ignore(g, "unknown_command");
	rest += skip + word;
	len -= skip + word;
	skip = MIN(strspn(rest, " \t"), len);
	return draft_command(g, verb,
			     arena_printf(g->r->arena, "%.*s",
					  (int)MIN(len - skip, (size_t)WIRE_LINE_MAX),
					  rest + skip));
}

/* A comment on a pull request names neither branch nor commit: the correlator has seen which it is,
 * or groups by the pull request. */
int read_comment(struct delivery *g, struct why *out_why)
{
	const char *author, *number = at_number(g, "issue.number");
	int rc = need_text(g, "comment.user.login", &author, out_why);

	if (!rc && !number)
		rc = why_set(out_why, ERR_INVALID, "issue.number: missing");
	if (!rc && !json_is_string(at(g, "comment.body")))
		rc = why_set(out_why, ERR_INVALID, "comment.body: missing");
	if (rc)
		return rc;
	if (!at(g, "issue.pull_request"))
		return ignore(g, "not_a_pull_request");
	g->sender = author;
	draft_branch(g, NULL, NULL);
	add_label(g, "pr", number);
	add_label(g, "severity", "warning");
	add_annotation(g, "pr", number);
	add_annotation(g, "run_url", at_text(g, "comment.html_url"));
	g->d.generator_url = at_text(g, "comment.html_url");
	name_alert(g, "", "command", number);
	return command_read(g, "comment", at_text(g, "comment.body"));
}

/* A review says which branch its pull request is, and may hold a command. */
int read_review(struct delivery *g, struct why *out_why)
{
	const char *branch, *author;
	int rc = pull_branch(g, &branch, out_why);

	if (!rc)
		rc = need_text(g, "review.user.login", &author, out_why);
	if (rc)
		return rc;
	g->sender = author;
	draft_branch(g, branch, at_text(g, "pull_request.head.sha"));
	add_annotation(g, "review", at_text(g, "review.state"));
	name_alert(g, branch, "command", at_number(g, "pull_request.number"));
	rc = command_read(g, "review", at_text(g, "review.body"));
	if (rc || g->r->n || g->r->refused || !str_eq(g->r->ignored, "no_command"))
		return rc;
	g->r->ignored = NULL;
	draft_note(g, branch);
	return 0;
}

/* The buttons of a check run are shown to people who may write. */
int read_button(struct delivery *g, struct why *out_why)
{
	static const char prefix[] = "heal_";
	const char *identifier, *sha = at_text(g, "check_run.head_sha"), *branch, *verb;
	int rc = need_text(g, "requested_action.identifier", &identifier, out_why);

	if (rc)
		return rc;
	if (!str_starts(identifier, prefix))
		return ignore(g, "no_command");
	identifier += sizeof(prefix) - 1;
	verb = verb_find(identifier, strlen(identifier));
	if (!verb)
		return ignore(g, "unknown_command");
	if (is_bot(g, at_text(g, "sender.type")))
		return ignore(g, "bot");
	branch = at_text(g, "check_run.check_suite.head_branch");
	branch = branch && *branch ? branch : sha;
	if (!branch || !*branch)
		return why_set(out_why, ERR_INVALID, "check_run.head_sha: missing");
	draft_branch(g, branch, sha);
	add_label(g, "severity", "warning");
	name_alert(g, branch, "command", "button");
	return draft_command(g, verb, "");
}

/* ---- pushes ---- */

/* A push of our own that makes a branch for an incident says of which. */
static int own_push(struct delivery *g, const char *branch)
{
	for (size_t i = 0; i < g->d.n_annotations; i++) {
		if (str_eq(g->d.annotations[i].name, "incident")) {
			draft_note(g, branch);
			return 0;
		}
	}
	return ignore(g, "own_push");
}

int read_push(struct delivery *g, struct why *out_why)
{
	const char *ref, *branch, *sha = at_text(g, "after"), *own = g->rules->own_login;
	const char *message = at_text(g, "head_commit.message");
	bool skip;
	int rc = need_text(g, "ref", &ref, out_why);

	if (rc)
		return rc;
	if (!str_starts(ref, BRANCH_REF) || !ref[sizeof(BRANCH_REF) - 1])
		return ignore(g, "tag");
	branch = ref + sizeof(BRANCH_REF) - 1;
	if (json_is_true(at(g, "deleted")))
		return branch_ends(g, branch, "branch deleted", 0);
	draft_branch(g, branch, sha);
	skip = read_message(g, branch, message);
	if ((own && strcasecmp(own, g->sender) == 0) || is_our_commit(g, message))
		return own_push(g, branch);
	if (g->bot && !skip)
		return ignore(g, "bot");
	if (g->bot) {
		draft_note(g, branch);
		return 0;
	}
	name_alert(g, branch, "command", "push");
	return draft_command(g, "push", sha ? sha : "");
}

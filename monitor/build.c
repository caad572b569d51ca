#include "monitor/state.h"

/*
 * Events of repositories: what one says for others. A pull request's number stands for its branch
 * in a comment; a commit that says so opens nothing; a branch that we made for an incident belongs
 * to it, and never opens one of its own; a success may end more than its own alert.
 */

#define LINK_PULL "pull"         /* number -> branch */
#define LINK_NUMBER "number"     /* a fork's branch -> number of its pull request */
#define LINK_SKIP "skip"         /* commit -> "" */
#define LINK_FORK "fork"         /* commit -> branch, "owner:branch" */
#define LINK_FIX "fix"           /* branch -> incident */
#define LINK_INCIDENT "incident" /* incident -> key */

static const char *label_at(const Healbus__Event *e, const char *name)
{
	return label_get(e->labels, e->n_labels, name);
}

static const char *note_at(const Healbus__Event *e, const char *name)
{
	return label_get(e->annotations, e->n_annotations, name);
}

void build_began(struct fold *f, const struct sighting *s, const char *key, const char *incident)
{
	const char *repository = label_at(s->event, "repository");

	if (repository && label_at(s->event, "branch"))
		link_put(f, (struct link){LINK_INCIDENT, repository, incident}, key);
}

/* Events that say whose branch it is. */
static bool knows_owner(const Healbus__Event *e)
{
	static const char *const kinds[] = {"workflow_run", "pull_request", "pull_request_review",
					    "push"};
	const char *kind = note_at(e, "github_event");

	for (size_t i = 0; kind && i < ARRAY_SIZE(kinds); i++) {
		if (str_eq(kinds[i], kind))
			return true;
	}
	return false;
}

/* A fork's commit; or one that was a fork's, and has come to a branch of ours. */
static void learn_owner(struct fold *f, const Healbus__Event *e, const char *repository)
{
	const char *branch = label_at(e, "branch"), *sha = note_at(e, "sha");
	auto_buf before = {0};

	if (!branch || !sha || !knows_owner(e))
		return;
	if (strchr(branch, ':') || link_get(f, (struct link){LINK_FORK, repository, sha}, &before))
		link_put(f, (struct link){LINK_FORK, repository, sha}, branch);
}

static void learn(struct fold *f, const Healbus__Event *e, const char *repository)
{
	const char *branch = label_at(e, "branch"), *pull = note_at(e, "pr");
	const char *sha = note_at(e, "sha"), *incident = note_at(e, "incident");

	if (branch && pull)
		link_put(f, (struct link){LINK_PULL, repository, pull}, branch);
	if (branch && pull && strchr(branch, ':'))
		link_put(f, (struct link){LINK_NUMBER, repository, branch}, pull);
	if (sha && note_at(e, "skip"))
		link_put(f, (struct link){LINK_SKIP, repository, sha}, "");
	learn_owner(f, e, repository);
	if (branch && incident)
		link_put(f, (struct link){LINK_FIX, repository, branch}, incident);
}

/* ---- branches of our own ---- */

/* The group of the incident that the event's branch was made for; "" when that is over. False for
 * any other branch. */
static bool owner_of(struct fold *f, const Healbus__Event *e, const char *repository,
		     char out_key[static ID_BYTES])
{
	const char *branch = label_at(e, "branch");
	auto_buf incident = {0};
	auto_buf key = {0};
	struct group g;

	out_key[0] = '\0';
	if (!branch || !link_get(f, (struct link){LINK_FIX, repository, branch}, &incident))
		return false;
	if (link_get(f, (struct link){LINK_INCIDENT, repository, buf_str(&incident)}, &key) &&
	    key.len < ID_BYTES && group_goes_on(f, buf_str(&key), &g) &&
	    str_eq(g.incident, buf_str(&incident)))
		snprintf(out_key, ID_BYTES, "%s", buf_str(&key));
	return true;
}

/* How it goes on such a branch is told with the incident: each failure, and the success of all. */
static int note_take(struct fold *f, struct sight *s, const char *key)
{
	struct alert *a = &s->alert;
	struct group g;
	bool again = s->known && group_goes_on(f, key, &g) && str_eq(a->incident, g.incident);
	bool fails = s->e->status == HEALBUS__STATUS__STATUS_FIRING;
	int rc;

	if (!s->e->status || (!fails && !s->e->covers && !again))
		return 0;
	if (again && a->noted == (uint8_t)s->e->status &&
	    slot_compare(f, s->e->fingerprint, a, s->e) == SLOT_SAME)
		return 0;
	a->noted = (uint8_t)s->e->status;
	a->trusted = s->e->trusted != 0;
	a->starts_at_ms = s->e->starts_at_ms;
	a->seen_ms = fold_now_ms(f);
	snprintf(a->source, sizeof(a->source), "%s", s->e->source);
	rc = group_note(f, key, s->e, a);
	if (rc)
		return rc;
	alert_put(f, s->e->fingerprint, a, s->labels);
	alert_timer_set(f, s->e->fingerprint,
			fold_now_ms(f) + monitor_rules(fold_config(f))->retention_ms);
	return 0;
}

/* ---- commands ---- */

/* A comment names a pull request only. With its branch in place of the number it is about the
 * incident of that branch. */
static const Healbus__Event *with_branch(struct fold *f, const Healbus__Event *e,
					 const char *repository)
{
	const char *pull = label_at(e, "pr");
	struct arena *arena = fold_arena(f);
	Healbus__Event *copy = arena_alloc(arena, sizeof(*copy));
	auto_buf branch = {0};

	if (!pull || label_at(e, "branch") ||
	    !link_get(f, (struct link){LINK_PULL, repository, pull}, &branch) || !copy)
		return e;
	*copy = *e;
	copy->labels = arena_alloc(arena, (e->n_labels + 1) * sizeof(*copy->labels));
	if (!copy->labels)
		return e;
	copy->n_labels = 0;
	/* Sorted: only alertname may stand before it. */
	for (size_t i = 0; i <= e->n_labels; i++) {
		bool here = i == e->n_labels || strcmp(e->labels[i]->name, "branch") > 0;

		if (here && !label_at(copy, "branch"))
			copy->labels[copy->n_labels++] =
				label_new(arena, "branch", buf_str(&branch));
		if (i < e->n_labels && !str_eq(e->labels[i]->name, "pr"))
			copy->labels[copy->n_labels++] = e->labels[i];
	}
	return copy;
}

static int command_take(struct fold *f, struct sight *s, const char *owner, const char *repository)
{
	auto_buf labels = {0};
	char key[ID_BYTES];
	struct group g;
	bool open;
	int rc;

	if (!s->e->trusted)
		return 0;
	s->e = with_branch(f, s->e, repository);
	labels_pack(&labels, s->e->labels, s->e->n_labels);
	s->labels = (struct labels){labels.data, labels.len};
	group_key(f, s->e, s->labels, key);
	if (*owner)
		snprintf(key, sizeof(key), "%s", owner);
	open = group_goes_on(f, key, &g);
	if (!open && (*owner || !s->e->command->verb || !str_eq(s->e->command->verb, "fix")))
		return 0;
	rc = group_command(f, key, s->e->command);
	if (rc || open)
		return rc;
	return s->known && s->alert.firing ? 0 : alert_fire(f, s);
}

/* A run of a fork's branch names no pull request: its list is of this repository's branches. */
static const Healbus__Event *with_number(struct fold *f, const Healbus__Event *e,
					 const char *repository)
{
	const char *branch = label_at(e, "branch");
	struct arena *arena = fold_arena(f);
	auto_buf number = {0};

	if (!branch || !strchr(branch, ':') || note_at(e, "pr") ||
	    e->n_annotations >= WIRE_LABELS_MAX ||
	    !link_get(f, (struct link){LINK_NUMBER, repository, branch}, &number))
		return e;
	Healbus__Event *copy = arena_alloc(arena, sizeof(*copy));
	if (!copy)
		return e;
	*copy = *e;
	copy->annotations = arena_alloc(arena, (e->n_annotations + 1) * sizeof(*copy->annotations));
	if (!copy->annotations)
		return e;
	copy->n_annotations = 0;
	/* Sorted. */
	for (size_t i = 0; i <= e->n_annotations; i++) {
		bool here = i == e->n_annotations || strcmp(e->annotations[i]->name, "pr") > 0;

		if (here && !note_at(copy, "pr"))
			copy->annotations[copy->n_annotations++] =
				label_new(arena, "pr", buf_str(&number));
		if (i < e->n_annotations)
			copy->annotations[copy->n_annotations++] = e->annotations[i];
	}
	return copy;
}

/* ---- before an event's own meaning ---- */

/* A job names the branch, and not whose it is: "main" of a fork is not ours. */
static bool is_foreign(struct fold *f, const Healbus__Event *e, const char *repository,
		       const char *sha)
{
	const char *branch = label_at(e, "branch");
	auto_buf whose = {0};

	return branch && !knows_owner(e) &&
	       link_get(f, (struct link){LINK_FORK, repository, sha}, &whose) &&
	       !str_eq(branch, buf_str(&whose));
}

int build_before(struct fold *f, struct sight *s, bool *out_done)
{
	const char *repository = label_at(s->e, "repository"), *sha = note_at(s->e, "sha");
	char owner[ID_BYTES];
	auto_buf found = {0};
	bool owned;

	if (!repository)
		return 0;
	if (s->e->trusted)
		learn(f, s->e, repository);
	s->e = with_number(f, s->e, repository);
	owned = owner_of(f, s->e, repository, owner);
	*out_done = owned || s->e->command;
	if (s->e->command)
		return command_take(f, s, owner, repository);
	if (owned)
		return *owner ? note_take(f, s, owner) : 0;
	if (!sha || !s->e->status)
		return 0;
	*out_done = is_foreign(f, s->e, repository, sha) ||
		    (s->e->status == HEALBUS__STATUS__STATUS_FIRING &&
		     link_get(f, (struct link){LINK_SKIP, repository, sha}, &found));
	return 0;
}

/* ---- successes ---- */

/* Every label that both have is the same. */
static bool labels_agree(const Healbus__Event *e, struct labels alert)
{
	for (size_t i = 0; i < e->n_labels; i++) {
		const char *other = labels_lookup(&alert, e->labels[i]->name);

		if (other && !str_eq(other, e->labels[i]->value ? e->labels[i]->value : ""))
			return false;
	}
	return true;
}

/* Not what began later, of another commit: that is another build's matter. */
static bool is_covered(struct fold *f, const Healbus__Event *e, const char *fp,
		       const struct alert *a)
{
	if (!str_eq(a->source, e->source) || (a->trusted && !e->trusted))
		return false;
	return !e->starts_at_ms || a->starts_at_ms <= e->starts_at_ms ||
	       slot_compare(f, fp, a, e) != SLOT_OTHER_COMMIT;
}

static int alert_cover(struct fold *f, const struct sight *s, const char *key, const char *fp)
{
	auto_buf text = {0};
	struct labels labels;
	struct alert a;
	int rc = alert_get_labels(f, fp, &a, &text);

	labels = (struct labels){text.data, text.len};
	if (rc || !str_eq(a.key, key) || !labels_agree(s->e, labels) ||
	    !is_covered(f, s->e, fp, &a))
		return rc == ERR_NOT_FOUND ? 0 : rc;
	return alert_end(f, fp, &a, labels, s->e);
}

int build_covers(struct fold *f, const struct sight *s)
{
	auto_buf firing = {0};
	char key[ID_BYTES];
	struct group g;

	group_key(f, s->e, s->labels, key);
	if (!group_goes_on(f, key, &g))
		return 0;
	alerts_firing(f, &firing);
	for (size_t i = 0; i + FINGERPRINT_LEN <= firing.len; i += FINGERPRINT_LEN) {
		char fp[FINGERPRINT_LEN + 1] = {0};
		int rc;

		memcpy(fp, firing.data + i, FINGERPRINT_LEN);
		rc = alert_cover(f, s, key, fp);
		if (rc)
			return rc;
	}
	return group_settle(f, key, s->e->summary && *s->e->summary ? s->e->summary : NULL);
}

#include "monitor/body.h"

#include "common/mem.h"
#include "monitor/normaliser.h"

enum { MAPS_MAX = 64 }; /* compiled programs kept by a reader */

struct compiled {
	char *text;
	struct expr *expr;
};

struct body_reader {
	struct arena arena;
	struct compiled maps[MAPS_MAX];
	size_t n_maps;
};

struct body_reader *body_reader_new(void)
{
	return mem_alloc(sizeof(struct body_reader));
}

static void maps_clear(struct body_reader *b)
{
	for (size_t i = 0; i < b->n_maps; i++) {
		free(b->maps[i].text);
		expr_free(b->maps[i].expr);
	}
	b->n_maps = 0;
}

void body_reader_free(struct body_reader *b)
{
	if (!b)
		return;
	maps_clear(b);
	arena_release(&b->arena);
	free(b);
}

/* Programs outlive a reload when their text does. */
static int map_compiled(struct body_reader *b, const char *text, struct expr **out,
			struct why *out_why)
{
	struct expr *e;
	int rc;

	for (size_t i = 0; i < b->n_maps; i++) {
		if (str_eq(b->maps[i].text, text)) {
			*out = b->maps[i].expr;
			return 0;
		}
	}
	rc = expr_compile(text, &e, out_why);
	if (rc)
		return rc;
	if (b->n_maps == MAPS_MAX)
		maps_clear(b);
	b->maps[b->n_maps++] = (struct compiled){mem_strdup(text), e};
	*out = e;
	return 0;
}

static const struct source *find_source(const struct monitor_config *c, const char *name,
					struct why *out_why)
{
	const struct source *source = source_find(c, name);
	auto_buf known = {0};

	if (source)
		return source;
	sources_print(c, true, &known);
	why_set(out_why, ERR_NOT_FOUND, "no source \"%s\" is configured; known: %s", name,
		buf_str(&known));
	return NULL;
}

/* The parameter `event` of a Content-Type; NULL when there is none. */
static const char *kind_of(struct arena *arena, const char *type)
{
	const char *found = strstr(type, "; " EVENT_PARAMETER "=");
	char name[TOKEN_MAX + 1];

	if (!found)
		return NULL;
	found += sizeof("; " EVENT_PARAMETER "=") - 1;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(found, "; "), found);
	return token_valid(name) ? arena_strdup(arena, name) : NULL;
}

void body_id(const struct raw_body *body, bool known, const char *when, char out[static ID_BYTES])
{
	uint8_t digest[DIGEST_BYTES];
	char hex[2 * DIGEST_BYTES + 1];

	digest_sha256(body->data, body->len, digest);
	hex_encode(digest, sizeof(digest), hex);
	id_make(out, "raw", body->source, hex, known ? "" : "untrusted", when);
}

/* The sender's signature is of the body alone: what came before is known by it, whatever the
 * message was called. */
static const char *sealed_id(struct arena *arena, const struct raw_body *body, bool known)
{
	char id[ID_BYTES];

	body_id(body, known, "", id);
	return arena_strdup(arena, id);
}

int body_read(struct body_reader *b, const struct monitor_config *c, const struct raw_body *body,
	      struct reading *out, struct why *out_why)
{
	const struct source *source = find_source(c, body->source, out_why);
	const char *type = body->content_type ? body->content_type : "";
	bool known = !strstr(type, UNTRUSTED_PARAMETER);

	*out = (struct reading){0};
	if (!source)
		return ERR_NOT_FOUND;
	*out = (struct reading){
		.source = source->name,
		.rules = &c->rules,
		.data = body->data,
		.len = body->len,
		.is_protobuf = str_starts(type, CONTENT_TYPE_PROTOBUF),
		.trusted = source->trusted && known,
		.kind = kind_of(&b->arena, type),
		.raw_id = source->format->sealed ? sealed_id(&b->arena, body, known) : body->id,
		.time_ms = body->time_ms,
		.arena = &b->arena,
	};
	if (body->len > WIRE_RAW_MAX_BYTES)
		return why_set(out_why, ERR_TOO_LARGE, "body: over %d bytes", WIRE_RAW_MAX_BYTES);
	if (source->map && map_compiled(b, source->map, &out->map, out_why))
		return ERR_CONFIG;
	return reading_run(out, source->format, out_why);
}

void body_done(struct body_reader *b, struct reading *r)
{
	reading_release(r);
	arena_reset(&b->arena);
}

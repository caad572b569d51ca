#include "executor/mcp/mcp_session.h"

#include <pthread.h>

#include "common/buf.h"
#include "common/mem.h"

struct session {
	char id[MCP_SESSION_BYTES]; /* "": free */
	char who[MCP_NAME_BYTES];
	int64_t used_ms;
	struct http_stream *stream; /* NULL: does not listen */
};

struct mcp_sessions {
	pthread_mutex_t lock;
	struct session items[MCP_SESSIONS_MAX];
};

struct mcp_sessions *mcp_sessions_new(void)
{
	struct mcp_sessions *all = mem_alloc(sizeof(*all));
	pthread_mutex_init(&all->lock, NULL);
	return all;
}

static void session_clear(struct session *s)
{
	http_stream_close(s->stream);
	*s = (struct session){0};
}

void mcp_sessions_free(struct mcp_sessions *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < MCP_SESSIONS_MAX; i++)
		session_clear(&all->items[i]);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

/* With the lock held. Ids are secrets of their clients, so they are compared as such. */
static struct session *find(struct mcp_sessions *all, const char *id)
{
	struct session *found = NULL;
	if (!id || strlen(id) != MCP_SESSION_BYTES - 1)
		return NULL;
	for (size_t i = 0; i < MCP_SESSIONS_MAX; i++)
		if (*all->items[i].id && digest_equal(all->items[i].id, id, MCP_SESSION_BYTES - 1))
			found = &all->items[i];
	return found;
}

static struct session *make_room(struct mcp_sessions *all)
{
	struct session *oldest = &all->items[0];
	for (size_t i = 0; i < MCP_SESSIONS_MAX; i++) {
		if (!*all->items[i].id)
			return &all->items[i];
		if (all->items[i].used_ms < oldest->used_ms)
			oldest = &all->items[i];
	}
	session_clear(oldest);
	return oldest;
}

static void set_name(struct session *s, const char *who)
{
	size_t n = 0;
	for (const char *c = who ? who : ""; *c && n < sizeof(s->who) - 1; c++)
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		    (*c >= '0' && *c <= '9') || strchr("._-", *c))
			s->who[n++] = *c;
	s->who[n] = 0;
	if (!n)
		snprintf(s->who, sizeof(s->who), "unnamed");
}

void mcp_session_open(struct mcp_sessions *all, const char *who, int64_t now_ms,
		      char out_id[static MCP_SESSION_BYTES])
{
	id_random(out_id);
	id_random(out_id + ID_LEN);
	pthread_mutex_lock(&all->lock);
	struct session *s = make_room(all);
	memcpy(s->id, out_id, MCP_SESSION_BYTES);
	s->used_ms = now_ms;
	set_name(s, who);
	pthread_mutex_unlock(&all->lock);
}

void mcp_session_name(struct mcp_sessions *all, const char *id, const char *who)
{
	pthread_mutex_lock(&all->lock);
	struct session *s = find(all, id);
	if (s)
		set_name(s, who);
	pthread_mutex_unlock(&all->lock);
}

int mcp_session_touch(struct mcp_sessions *all, const char *id, int64_t now_ms,
		      char out_who[static MCP_NAME_BYTES])
{
	pthread_mutex_lock(&all->lock);
	struct session *s = find(all, id);
	if (s) {
		s->used_ms = now_ms;
		memcpy(out_who, s->who, MCP_NAME_BYTES);
	}
	pthread_mutex_unlock(&all->lock);
	return s ? 0 : ERR_NOT_FOUND;
}

int mcp_session_end(struct mcp_sessions *all, const char *id)
{
	pthread_mutex_lock(&all->lock);
	struct session *s = find(all, id);
	if (s)
		session_clear(s);
	pthread_mutex_unlock(&all->lock);
	return s ? 0 : ERR_NOT_FOUND;
}

int mcp_session_listen(struct mcp_sessions *all, const char *id, struct http_stream *stream)
{
	pthread_mutex_lock(&all->lock);
	struct session *s = find(all, id);
	struct http_stream *old = s ? s->stream : stream;
	if (s)
		s->stream = stream;
	pthread_mutex_unlock(&all->lock);
	http_stream_close(old);
	return s ? 0 : ERR_NOT_FOUND;
}

int mcp_event(struct http_stream *stream, const char *event, const char *data)
{
	auto_buf text = {0};
	buf_printf(&text, "event: %s\ndata: ", event);
	buf_add_str(&text, data);
	buf_add_str(&text, "\n\n");
	return http_stream_write(stream, text.data, text.len);
}

int mcp_session_say(struct mcp_sessions *all, const char *id, const char *event, const char *data)
{
	pthread_mutex_lock(&all->lock);
	struct session *s = find(all, id);
	int rc = s && s->stream ? mcp_event(s->stream, event, data) : ERR_NOT_FOUND;
	pthread_mutex_unlock(&all->lock);
	return rc;
}

void mcp_sessions_tell(struct mcp_sessions *all, const char *data)
{
	pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < MCP_SESSIONS_MAX; i++)
		if (all->items[i].stream)
			mcp_event(all->items[i].stream, "message", data);
	pthread_mutex_unlock(&all->lock);
}

void mcp_sessions_beat(struct mcp_sessions *all)
{
	static const char beat[] = ": still here\n\n";
	pthread_mutex_lock(&all->lock);
	for (size_t i = 0; i < MCP_SESSIONS_MAX; i++) {
		struct session *s = &all->items[i];
		if (!s->stream || http_stream_write(s->stream, beat, sizeof(beat) - 1) == 0)
			continue;
		http_stream_close(s->stream);
		s->stream = NULL;
	}
	pthread_mutex_unlock(&all->lock);
}

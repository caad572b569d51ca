/*
 * Commands that people type in a chat: /status, /incidents, /story ID, /ack ID, /silence MATCHERS
 * DURATION, /pause, /resume, /help. Each does what the API's route does, for a person of `people:`
 * with the role that it takes; strangers are refused. Any thread but the fold's; blocks for a bus
 * request or two.
 */
#ifndef NOTIFIER_COMMAND_H
#define NOTIFIER_COMMAND_H

#include "common/buf.h"
#include "common/err.h"

struct stage;

enum { COMMAND_TEXT_MAX = 4096, COMMAND_SHOWN_MAX = 20 };

enum command_verb {
	COMMAND_HELP,
	COMMAND_STATUS,
	COMMAND_INCIDENTS,
	COMMAND_STORY,
	COMMAND_ACK,
	COMMAND_SILENCE,
	COMMAND_PAUSE,
	COMMAND_RESUME,
	COMMANDS,
};

/* Points into the text that was parsed, or into `memory`. */
struct command {
	enum command_verb verb;
	char *id;       /* STORY, ACK */
	char *rest;     /* ACK, PAUSE, RESUME: why; SILENCE: the matchers; "" when there is none */
	char *duration; /* SILENCE */
	char *memory;
};

/* "/verb@bot arguments", one space or more between them. ERR_INVALID says how it is written.
 * Release in any case. */
int command_parse(const char *text, struct command *out, struct why *out_why);
void command_release(struct command *c);
#define auto_command __attribute__((cleanup(command_release))) struct command

/* Who says it: as in struct answer_in. */
struct command_in {
	const char *text;
	const char *kind, *sender; /* the sender's id, under this key of `people:` */
	const char *channel;
};

/* Does it and appends what to show: printable. Refused: why, in words for the person; counted as
 * healbus_commands_total. ERR_INVALID, ERR_DENIED, ERR_NOT_FOUND, ERR_CONFLICT, ERR_UNAVAILABLE. */
int command_give(struct stage *s, const struct command_in *in, struct buf *out_text,
		 struct why *out_why);

#endif

/* One tool's YAML. Inside the catalogue only. */
#ifndef EXECUTOR_CATALOGUE_PARSE_H
#define EXECUTOR_CATALOGUE_PARSE_H

#include "executor/catalogue.h"

/* Fills a zeroed tool; on failure the caller releases what is there. ERR_CONFIG with file:line. */
int tool_parse(struct catalogue *cat, const struct yaml_node *node, struct tool *out,
	       struct why *out_why);
void tool_release(struct tool *tool);

int catalogue_expr(struct catalogue *cat, const struct yaml_node *node, const char *what,
		   struct expr **out, struct why *out_why);

#endif

#include "monitor/sources/source.h"

const struct source_format *const source_formats[] = {
	&format_alertmanager, &format_cloudevents, &format_event, &format_github, &format_jq,
};
const size_t source_formats_n = ARRAY_SIZE(source_formats);

const struct source_format *source_format_find(const char *name)
{
	for (size_t i = 0; i < source_formats_n; i++) {
		if (str_eq(source_formats[i]->name, name))
			return source_formats[i];
	}
	return NULL;
}

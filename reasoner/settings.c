#include "reasoner/settings.h"

#include "reasoner/config.h"

const struct settings *settings_of(const void *config)
{
	return &((const struct reasoner_config *)config)->cases;
}

#include "notifier/info.h"

#include "notifier/render.h"
#include "notifier/tables.h"

int info_text(struct stage *s, const char *approval, struct buf *out, struct why *out_why)
{
	auto_arena arena = {0};
	auto_notice_text text = {0};
	auto_txn txn = store_begin_read(fold_store(stage_fold(s, 0, 0)));
	const Healbus__ApprovalRequest *a =
		row_get(txn, &table_approvals, approval, Healbus__ApprovalRequest, approval_request,
			&arena);
	if (!a)
		return why_set(out_why, ERR_NOT_FOUND, "no approval %.64s", approval);
	const Healbus__Incident *i = row_get(txn, &table_incidents, str_or_empty(a->incident),
					     Healbus__Incident, incident, &arena);
	render_approval(a, i, &text);
	buf_add(out, buf_str(&text.text), text.text.len);
	return 0;
}

#include "common/base.h"

#include <ctype.h>

#include "common/id.h"
#include "common/mem.h"
#include "reasoner/proposal/plain.h"
#include "reasoner/prompt/placeholder_private.h"

/*
 * What compilers, package managers, test programs and runtimes say of a failure. Hardly a verb
 * in the form that commands (see below), no name of a thing whose loss would hurt: from these words
 * no instruction can be made. Short function words are here, since they carry none alone.
 */
static const char diagnostic_words[] =
	"a an the this that these those it its is are was were be been being has have had does did "
	"not no none nor and or but if in on at of to from for by with without within into onto "
	"out over under between after before during since until while when where which who whose "
	"as than then so because due per via up down off only also both either neither each every "
	"all any some other another same more most less least many few first second third last "
	"next "
	"zero one two three four five six seven eight nine ten can cannot can't could couldn't may "
	"might must should shouldn't would will won't isn't aren't wasn't didn't doesn't hasn't "
	"there here again already yet still just too very instead such like while however "
	"error errors err failure failures failed fails failing fatal panic panicked panics "
	"exception exceptions warning warnings warn info debug trace note notes help hint hints "
	"expected got found actual received given wanted returned returning returns left right "
	"value values type types typed mismatched mismatch incompatible unexpected undefined "
	"undeclared unresolved unknown unused unreachable uninitialized unreadable unsupported "
	"unrecognized unavailable unable unhandled uncaught unsatisfied unmet unterminated invalid "
	"illegal incorrect missing missed wrong bad malformed ambiguous duplicate duplicated "
	"conflicting conflict conflicts deprecated obsolete implicit explicit redefinition "
	"redeclaration redeclared redefined declared declaration declarations definition "
	"definitions defined reference references referenced symbol symbols identifier identifiers "
	"name names named function functions method methods member members field fields property "
	"properties argument arguments parameter parameters variable variables constant constants "
	"expression expressions statement statements operator operators operand operands token "
	"tokens literal literals string strings integer integers number numbers float double "
	"boolean char character characters pointer pointers array arrays slice slices vector list "
	"lists map maps struct structs enum union trait traits impl class classes object objects "
	"interface interfaces module modules package packages crate crates library libraries "
	"namespace scope scopes block blocks body pattern patterns arm arms match matches matched "
	"matching lifetime lifetimes borrow borrowed borrows borrowing moved move moves mutable "
	"immutable mutably immutably owned ownership dropped consumed shared generic generics "
	"template templates instance instances instantiated instantiation constructor constructors "
	"destructor overload overloaded overloads override overrides overridden inherited abstract "
	"virtual static const private public protected readonly nullable null nil undefined "
	"syntax parse parser parsed parsing lexer semicolon comma colon parenthesis parentheses "
	"brace braces bracket brackets quote quotes whitespace indent indentation tab tabs newline "
	"end eof start begin beginning line lines column columns col position offset index indices "
	"range length size sizes limit limits count counts total bytes byte bits bit kb mb gb "
	"file files filename path paths directory directories folder folders disk space device "
	"inode mount input output outputs stdin stdout stderr stream pipe socket port ports host "
	"address network connection connections connect connected connecting connectable refused "
	"reset closed close unreachable timeout timeouts timed time times seconds second minutes "
	"minute hours hour ms sec secs milliseconds deadline exceeded elapsed duration slow took "
	"permission permissions denied forbidden unauthorized authentication authorization "
	"credentials certificate certificates expired expires handshake tls ssl dns resolve "
	"resolved resolving resolution lookup hostname http https status code codes response "
	"responses request requests server client peer proxy gateway "
	"exit exited exits exiting terminated killed signal aborted abort aborting crashed crash "
	"segmentation fault core dumped stack overflow underflow heap memory allocation allocated "
	"allocate oom leak leaked leaks out-of-memory process processes thread threads worker "
	"workers job jobs task tasks step steps stage stages command commands script scripts "
	"program programs exec executable binary shell "
	"test tests tested testing suite suites passed pass passes passing skipped skipping "
	"ignored "
	"pending todo flaky ran running finished finishing completed complete completes compiled "
	"compiling compilation compiler compile built building build builds linking linker linked "
	"link target targets release profile optimized unoptimized dev debuginfo assertion "
	"assertions assert asserted assertionerror equal equals equality differ differs difference "
	"different snapshot snapshots obsolete written mock mocks called call calls caller callee "
	"times coverage threshold thresholds lint lints linting formatted formatting format style "
	"dependency dependencies dependent depends depended requirement requirements required "
	"requires require version versions constraint constraints range ranges satisfies satisfy "
	"satisfied satisfying candidate candidates selected selecting resolver registry index "
	"lockfile lock locked checksum checksums checksummed integrity hash hashes digest "
	"signature signatures feature features workspace workspaces manifest manifests metadata "
	"root peer optional available availability latest compatible compatibility installed "
	"download downloaded downloading fetched fetching extracting extracted unpacking cached "
	"cache "
	"image images layer layers tag tags container containers pod pods node nodes replica "
	"replicas chart charts release releases resource resources provider providers state "
	"states kind kinds schema schemas attribute attributes key keys label labels annotation "
	"annotations selector selectors spec namespace namespaced yaml json toml xml "
	"configuration config option options flag flags setting settings environment "
	"merge merged conflict conflicts commit commits branch branches revision head base "
	"upstream rebase hunk hunks ours theirs "
	"occurred occurs raised raise raises thrown throws caught cause caused causes causing "
	"encountered detected reported reporting report reports see above below following "
	"previous previously most recent recently traceback backtrace frame frames inner outer "
	"during handling another unless otherwise details detail info information summary reason "
	"reasons result results message messages text data content contents entry entries item "
	"items element elements node row rows table tables record records set sets empty full "
	"large larger small smaller long longer short shorter high higher low lower big bigger "
	"greater minimum maximum min max average mean exact exactly approximately "
	"possible impossible valid supported supports allowed disallowed permitted needed needs "
	"exist exists existing nonexistent accessible inaccessible readable writable open opened "
	"read reads reading write writes writing loaded loading load imported importing import "
	"imports exported export exports included including include includes "
	"implement implements implemented implementation implementations bound bounds unbound "
	"satisfy implementing dereference dereferenced dereferencing cast casting coerced "
	"conversion convert converted inferred infer inference annotations annotated assigned "
	"assign assignment assigning unassigned initialized initializer used uses using usage "
	"user-defined "
	"consider considered considering try-catch maybe perhaps probably similar "
	"originates originated macro macros expansion expanded attribute derive derived "
	"declared primary secondary occurrence occurrences label labelled "
	"promise promises rejection rejected await awaited async callback hook hooks event events "
	"component components props prop render rendered rendering element elements query "
	"queries selector visible hidden timeout locator page browser "
	"foreign index unique violates violation relation column database sql syntax near "
	"goroutine goroutines deadlock asleep race nil dereference invalid slice "
	"subprocess returncode non-zero nonzero zero-length traceback errno "
	"runner agent executor hosted node's file's it's "
	"mutex atomic retry retries retrying attempt attempts attempted backoff "
	"fixture fixtures parametrized param params case cases describe spec specs "
	"plan planned apply applied changed changes change unchanged differs drift "
	"healthy unhealthy ready unready scheduled evicted backoff back-off restarting restarted "
	"pulled pulling crashloopbackoff liveness readiness probe "
	"find finds local locals emitted assignable npm err cargo rustc gcc clang node python java "
	"maven "
	"gradle pytest jest go docker helm kubectl terraform argument-parser "
	"overlapping truncated literal mode hosts queue full exhausted unhashable subscriptable "
	"callable iterable iterator attributes lambda closure scoped visible inaccessible "
	"nested depth recursion circular cyclic cycle cycles ambiguity precedence "
	"unsafe safe sound unsound copy clone clones cloned cloning boxed boxing deref "
	"send sync static sized unsized dyn erased projection associated assoc "
	"ok yes true false";

/* Of the above: verbs that command when they begin a clause or stand before a determiner, unless
 * the clause also says that something is wrong. */
static const char command_words[] =
	"call open read write load export move copy clone send exec merge commit apply retry "
	"override assign resolve attempt connect mount set sets download match record report "
	"change "
	"allocate allow find lock import";
static const char determiner_words[] =
	"the this that these those all any each every its it a an another one both same other";
static const char wrong_words[] =
	"cannot can't could couldn't not no failed fails failing failure failures unable error "
	"errors "
	"err invalid denied missing unexpected didn't doesn't undefined incompatible conflict "
	"conflicts "
	"mismatched mismatch refused aborted timeout unresolved unknown exceeded";
/* What joins a command to the words before it. */
static const char joining_words[] = "and then or so";

/* Of programming languages and tools: between them the words of code stand alone. */
static const char keyword_words[] =
	"and or not in is if else elif elsif then fi do done for foreach while until loop break "
	"continue return yield await async def fn func function fun proc sub class struct enum "
	"union trait impl interface type typedef module mod package import from as use using "
	"include require export default public private protected internal static const final let "
	"var val mut ref new delete del this self super null nil none true false void int uint "
	"long short char bool boolean float double string str byte unsigned signed auto register "
	"extern inline virtual override abstract sealed throws throw raise try catch except "
	"finally rescue ensure end begin case switch match when where with pass lambda global "
	"nonlocal assert typeof instanceof of go defer chan select range map make echo "
	"insert into values update set create table drop alter index on join left right inner "
	"outer group by order having limit distinct union all exists between like primary key "
	"foreign references unique unique run copy add env arg cmd entrypoint workdir expose user "
	"label "
	"cargo npm npx yarn pnpm pip python go git docker kubectl helm terraform make apt apt-get "
	"install sudo cd cp mv mkdir chmod source local unset test unsafe dyn move pub crate "
	"extends "
	"implements super readonly declare namespace goto sizeof template typename noexcept "
	"constexpr operator friend explicit mutable volatile concept requires end";

/* Words of instructions in several languages; only for names and short texts in code. */
static const char trigger_words[] =
	"system developer human ignore disregard forget override overrule bypass previous prior "
	"instruction instructions "
	"prompt prompts assistant jailbreak obey pretend approve approved approval reveal "
	"exfiltrate "
	"leak secret secrets credential credentials password passwords execute disable delete wipe "
	"erase drop sudo curl wget chmod shutdown reboot please must immediately urgent "
	"administrator "
	"ignoriere ignorieren vergiss anweisung anweisungen befehl befehle loesche fuehre "
	"geheimnis "
	"ignorez ignorer oubliez instructions precedentes supprimez executez mot "
	"ignora ignorar olvida instrucciones anteriores ejecuta borra elimina contrasena "
	"istruzioni precedenti esegui dimentica ignoruj polecenia poprzednie usun "
	"ignorirui zabud instrukcii instruktsii komandu negeer vorige opdrachten "
	"ignore instrucoes execute apague";

enum { WORD_MAX = 40, SLOTS_MIN = 8192, NAME_MAX_BYTES = 255 };

struct word {
	uint64_t hash; /* 0: free. 64 bits of FNV stand for the word itself */
	unsigned marks;
};

struct vocabulary {
	struct word *slots;
	size_t n_slots, n_used;
};

static uint64_t word_hash(struct span word)
{
	uint64_t hash = FNV_INIT;
	for (size_t i = 0; i < word.n; i++) {
		char c = (char)tolower((unsigned char)word.s[i]);
		hash = fnv1a(hash, &c, 1);
	}
	return hash ? hash : 1;
}

static struct word *slot_of(const struct vocabulary *w, uint64_t hash)
{
	size_t i = hash & (w->n_slots - 1);
	while (w->slots[i].hash && w->slots[i].hash != hash)
		i = (i + 1) & (w->n_slots - 1);
	return &w->slots[i];
}

static void widen(struct vocabulary *w)
{
	struct vocabulary old = *w;
	w->n_slots = old.n_slots ? old.n_slots * 2 : SLOTS_MIN;
	w->slots = mem_calloc(w->n_slots, sizeof(*w->slots));
	for (size_t i = 0; i < old.n_slots; i++)
		if (old.slots[i].hash)
			*slot_of(w, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

void vocabulary_mark(struct vocabulary *w, struct span word, unsigned mark)
{
	if (word.n == 0 || word.n > WORD_MAX)
		return;
	if (w->n_used * 2 >= w->n_slots)
		widen(w);
	uint64_t hash = word_hash(word);
	struct word *slot = slot_of(w, hash);
	w->n_used += slot->hash == 0;
	slot->hash = hash;
	slot->marks |= mark;
}

unsigned vocabulary_get(const struct vocabulary *w, struct span word)
{
	return word.n && word.n <= WORD_MAX ? slot_of(w, word_hash(word))->marks : 0;
}

static void mark_all(struct vocabulary *w, const char *list, unsigned mark)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		vocabulary_mark(w, (struct span){list, n}, mark);
		list += n + (list[n] == ' ');
	}
}

struct vocabulary *vocabulary_new(void)
{
	struct vocabulary *w = mem_alloc(sizeof(*w));
	widen(w);
	mark_all(w, diagnostic_words, WORD_DIAGNOSTIC);
	mark_all(w, command_words, WORD_COMMAND);
	mark_all(w, determiner_words, WORD_DETERMINER);
	mark_all(w, wrong_words, WORD_WRONG);
	mark_all(w, joining_words, WORD_JOIN);
	mark_all(w, keyword_words, WORD_KEYWORD);
	mark_all(w, trigger_words, WORD_TRIGGER);
	return w;
}

void vocabulary_free(struct vocabulary *w)
{
	if (!w)
		return;
	free(w->slots);
	free(w);
}

/* ---- shapes ---- */

/* Next word of a name: letters, cut where "camelCase" does; its length, *at moved behind it. */
static struct span subword(struct span name, size_t *at)
{
	size_t i = *at;
	while (i < name.n && !isalpha((unsigned char)name.s[i]))
		i++;
	size_t from = i;
	while (i < name.n && isalpha((unsigned char)name.s[i])) {
		bool hump = i > from && isupper((unsigned char)name.s[i]) &&
			    (islower((unsigned char)name.s[i - 1]) ||
			     (i + 1 < name.n && islower((unsigned char)name.s[i + 1])));
		if (hump)
			break;
		i++;
	}
	*at = i;
	return (struct span){name.s + from, i - from};
}

static bool part_is_plain(const struct vocabulary *w, struct span part, size_t most)
{
	size_t words = 0, triggers = 0;
	for (size_t at = 0; at < part.n;) {
		struct span word = subword(part, &at);
		if (word.n < 2)
			continue;
		words++;
		triggers += (vocabulary_get(w, word) & WORD_TRIGGER) != 0;
	}
	return words <= most && triggers < 2 && !(triggers && words > 4);
}

bool words_are_plain(const struct vocabulary *w, struct span name, size_t most)
{
	if (name.n > NAME_MAX_BYTES)
		return false;
	for (size_t at = 0; at < name.n;) {
		const char *slash = memchr(name.s + at, '/', name.n - at);
		size_t n = slash ? (size_t)(slash - name.s) - at : name.n - at;
		if (!part_is_plain(w, (struct span){name.s + at, n}, most))
			return false;
		at += n + 1;
	}
	return part_is_plain(w, name, most * 4);
}

bool name_is_plain(const struct vocabulary *w, struct span name, size_t most)
{
	for (size_t i = 0; i < name.n; i++)
		if (!name.s[i] ||
		    (!isalnum((unsigned char)name.s[i]) && !strchr("._/@:+-=,~()[]#*", name.s[i])))
			return false;
	return name.n > 0 && words_are_plain(w, name, most);
}

bool looks_encoded(struct span token)
{
	size_t digits = 0, upper = 0, lower = 0, hex = 0, run = 0, signs = 0;
	for (size_t i = 0; i < token.n; i++) {
		unsigned char c = (unsigned char)token.s[i];
		bool base64 = isalnum(c) || c == '+' || c == '=';
		if (!base64) {
			digits = upper = lower = hex = run = signs = 0;
			continue;
		}
		run++;
		digits += isdigit(c) != 0;
		upper += isupper(c) != 0;
		lower += islower(c) != 0;
		hex += isxdigit(c) != 0;
		signs += c == '+' || c == '=';
		if (run >= 32 && (hex == run || signs || (digits > 1 && upper > 2 && lower > 2)))
			return true;
		if (run >= 48 && upper > 4 && lower > 4)
			return true;
	}
	return false;
}

static bool point_is_drawing(uint32_t c)
{
	return (c >= 0x2010 && c <= 0x2027) || (c >= 0x2030 && c <= 0x205e) ||
	       (c >= 0x2190 && c <= 0x22ff) || (c >= 0x2500 && c <= 0x27bf) || c == 0xb7 ||
	       c == 0xab || c == 0xbb || c == 0xb0 || c == 0xb1;
}

/* "\\u{202E}": an invisible character as buf_add_printable shows it. */
static bool shows_hidden(struct span text)
{
	const char *s = text.s, *end = text.s + text.n;
	while ((s = memmem(s, (size_t)(end - s), "\\u{", 3))) {
		char digits[9] = {0};
		s += 3;
		memcpy(digits, s, MIN((size_t)(end - s), sizeof(digits) - 1));
		if (point_lies((uint32_t)strtoul(digits, NULL, 16)))
			return true;
	}
	return false;
}

bool has_hidden(struct span text)
{
	return text.n && (text_lies(text.s, text.n) || shows_hidden(text));
}

bool has_foreign(struct span text)
{
	if (shows_hidden(text))
		return true;
	for (size_t i = 0; i < text.n;) {
		uint32_t point = 0;
		size_t n = utf8_sequence((const unsigned char *)text.s + i, text.n - i, &point);
		bool control = point < 0x20 ? point != '\t' && point != '\r' : point == 0x7f;
		if (n == 0 || control ||
		    (point >= 0x80 && (point_lies(point) || !point_is_drawing(point))))
			return true;
		i += n;
	}
	return false;
}

/* "<|im_start|>", "[INST]", "<<SYS>>": marks of a conversation. */
static bool has_role_mark(struct span t)
{
	static const char *const marks[] = {"<|", "|>", "[INST", "[/INST", "<<SYS", "</s>"};
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (memmem(t.s, t.n, marks[i], strlen(marks[i])))
			return true;
	return false;
}

bool text_speaks(const struct vocabulary *w, struct span text)
{
	size_t words = 0, strange = 0, triggers = 0;
	if (has_foreign(text) || looks_encoded(text) || has_role_mark(text))
		return true;
	for (size_t at = 0; at < text.n;) {
		struct span word = subword(text, &at);
		if (word.n < 2)
			continue;
		unsigned marks = vocabulary_get(w, word);
		words++;
		strange += !(marks & WORD_DIAGNOSTIC);
		triggers += (marks & WORD_TRIGGER) != 0;
	}
	return triggers > 1 || (words > 2 && strange > 0 && memchr(text.s, ' ', text.n));
}

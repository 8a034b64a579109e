# Finds forbidden words in the prose of each file that it is given. `ci/words` runs it.
#
# A file is read line by line. `prose` collects the lines of a paragraph, and `end_of_paragraph` applies the rules to it, so a
# phrase is also found across a line break. A fresh Debian has mawk, so only POSIX awk is used: patterns have no `\b` and no
# intervals.

BEGIN {
    # The text is padded with a space at both ends, so a word always has a neighbor on each side.
    B = "[^A-Za-z0-9_'-]"

    # Phrases in which a word that a rule forbids is right. They are blanked before the rules are applied.
    allow(B "(leave|leaves|left) [a-z]+ [a-z]+ behind" B)
    allow(B "(fall|falls|fell|fallen|falling|falls far|fell far|lag|lags|lagging|far|left|leave|leaves) behind" B)
    allow(B "behind (a |an |the |its |one |another |some |this |that |each )?((reverse|shared|one|a) )*" \
        "(proxy|proxies|nginx|load balancer|firewall|lock|mutex|pointer|reference|feature|features|flag|scenes)" B)
    allow(B "(those|one|ones|anyone|someone) of what" B)
    allow(B "(is|are|was|were|be|been|being|get|gets|not) told (of|that|to|about|how|why|when|whether)" B)
    allow(B "there (are|was|were|may be|can be) none" B)
    allow(B "(is|are|was|were) of (no |any |some |the )?(use|type|interest)" B)

    # Each rule has a name and a pattern. The text is in lower case, but for `rule_of_case`. With a third argument the rule does
    # not apply to questions.
    rule_of_case("a sentence starts with who or what: name the subject", \
        "(^ *|[.!?:] +)[(*_\"]*(Who|What) ", "question")
    rule("a clause starts with who or what: name the thing", "[,;] (but |so )?(who|what) ", "question")
    rule("who: name the thing", B "(those|these|they|one|he|nobody|somebody|anybody|everybody|all|people|code|client|" \
        "clients|reader|readers|sender|senders|stream|streams) who ", "question")
    rule("what as a thing: name it", B "(of|for|from|by|with|than|beside|besides|beyond|between|but|to|into|in) what " \
        "(is|are|was|were|has|have|had|it|they|a|an|the|one|comes|came|stands|stood|waits|waited|remains|" \
        "remained|lies|goes|went|follows|followed|ends|belongs|may|must|can|cannot|could|would|will|should|others)" B, "question")
    rule("whoever", B "(whoever|whomever|whosoever)" B)
    rule("whatever: say regardless of, or name the thing", B "whatever" B)
    rule("whom: name the thing", B "(to|for|by|from|of|with|at|on|after|before|than) whom" B)
    rule("is told: name the teller and the fact", B "(is|are|was|were|be|been|being|get|gets|not) told" B)
    rule("tells without an object", B "(tell|tells|told|telling)( (it|that|this))?[.,;:)]")
    rule("tells without an object", B "(tells|telling) (why|of|what|when|how|whether|that)" B)
    rule("behind, for order: say after", B "behind" B)
    rule("is none: say invalid, or there is no ...", B "(is|are|was|were|be) none" B)
    rule("for ever: say forever, or how long", B "for ever" B)
    rule(", say: start with for example", ", say *([,.;:)]|$)")
    rule("so long: say how long, or as long as", B "so long" B)
    rule("is of: name the relation", B "(is|are|was|were) of" B)
    rule("such as have: say that have", B "such as (have|has|are|is|do|does|did|can|may|were|was|need|want|stand)" B)
    rule("mind that: say note that", B "mind that" B)
    rule("beside the others: say comparison", B "beside the others?" B)
    rule("be it: say whether", B "be it" B)
    rule("for what it is: say what it is", B "for what (it|they)" B)

    # Names that the crate has given up. Names that may be used again with another meaning are not listed.
    old["Curfew"] = "StopSchedule"; old["Ask"] = "StopRequest"; old["take_ask_back"] = "cancel_stop"
    old["Fed"] = "Polled"; old["Verdict"] = "Routing"
    old["Words"] = "FarewellState"; old["Ending"] = "ChannelEnd"; old["Taken"] = "Polled"
    old["Entrance"] = "Acceptor"; old["Entering"] = "HandlerFuture"; old["Entered"] = "Admitted"
    old["Handling"] = "HandlerConfig"; old["Patience"] = "SendTimeout"; old["Sending"] = "SendFuture"
    old["MANY"] = "MAX_SENDS_PER_TURN"; old["HEAVY"] = "BYTES_PER_TURN"
    old["KEPT"] = "MAX_KEPT_CAPACITY"; old["LONG"] = "MAX_COPIED"; old["NEAR"] = "CACHE_BLOCK"
    old["Caught"] = "CatchPanic"; old["Alarm"] = "LazyTimer"; old["rung"] = "fired"; old["AHEAD"] = "EARLY_MARGIN"
    old["Meters"] = "Metrics"; old["Stopwatch"] = "WaitTimer"; old["TOLD"] = "no static"
    old["Prepared"] = "Draft"; old["Spec"] = "TopicSet"; old["Says"] = "ParsedId"; old["Standing"] = "ReaderPosition"
    old["Reading"] = "SubscriptionSource"; old["is_telling"] = "hook_running"
    old["become_short"] = "assign_inline"; old["become_copy_of"] = "assign_copy"; old["become_other"] = "assign_take"
    old["tell_id"] = "commit_id"; old["give_to"] = "write_to"; old["line_goes_on"] = "continue_line"
    old["passing_over"] = "skipping_event"; old["set_away"] = "retry_after"
    old["Disconnect"] = "StreamEnd"; old["Spread"] = "DelayRange"; old["longest_told"] = "max_server_delay"
    old["LastEventIdLeftOut"] = "LastEventIdOmitted"; old["StillOpen"] = "ShutdownTimeout"
    old["paced_over"] = "stagger_over"; old["come_back"] = "retry_later"; old["send_away"] = "retry_later"
    old["finish_within"] = "grace_period"; old["Topics"] = "Selection"; old["in_task"] = "spawn_handler"
}

function allow(pattern) { allowed[++allowances] = pattern }
function rule(name, pattern, question) { add(name, pattern, question, 0) }
function rule_of_case(name, pattern, question) { add(name, pattern, question, 1) }
function add(name, pattern, question, of_case) {
    names[++rules] = name
    patterns[rules] = pattern
    of_question[rules] = question
    keeps_case[rules] = of_case
}

FNR == 1 {
    end_of_paragraph()
    quote = fence = ""
    in_script = 0
    kind = FILENAME
    sub(/.*\//, "", kind)
    if (!sub(/.*\./, "", kind)) kind = "sh"
    in_src = FILENAME ~ /(^|\/)src\// && FILENAME !~ /(^|\/)bench\//
}

kind == "rs" { rust_line($0); next }
kind == "md" { markdown_line($0, "md"); next }
kind == "html" && /<(script|style)/ { in_script = 1 }
kind == "html" && /<\/(script|style)/ { in_script = 0 }
kind == "html" && in_script { comment_line($0, "//"); next }
kind == "html" { gsub(/<[^>]*>/, " "); prose($0, "html"); next }
kind == "mjs" { comment_line($0, "//"); next }
{ comment_line($0, "#") }

END { end_of_paragraph(); exit found > 0 }

# A line in which only a comment that starts with `mark` is prose.
function comment_line(line, mark) {
    if (match(line, "(^|[ \t])" mark "!?( |$)")) {
        if (RSTART > 1 && substr(line, 1, RSTART) ~ /[^ \t]/) end_of_paragraph()
        prose(substr(line, RSTART + RLENGTH), "comment")
    } else {
        end_of_paragraph()
    }
}

# A line of Rust: its comments and its string literals are prose. While a literal is open, `quote` is the mark that ends it.
function rust_line(line,    at, token, before, has_code) {
    while (1) {
        if (quote != "") {
            at = end_of_literal(line)
            literal(at ? substr(line, 1, at - 1) : line)
            if (!at) return
            line = substr(line, at + length(quote))
            quote = ""
            end_of_paragraph()
        }
        if (!match(line, /\/\/|"|'/)) { code(line); break }
        before = substr(line, 1, RSTART - 1)
        token = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART)
        code(before)
        has_code = has_code || before ~ /[^ \t]/
        if (token == "//") {
            if (has_code) end_of_paragraph()
            match(line, /^\/\/[\/!]?/)
            token = substr(line, 1, RLENGTH)
            line = substr(line, RLENGTH + 1)
            if (token == "//") prose(line, "comment"); else markdown_line(line, token)
            if (has_code) end_of_paragraph()
            return
        }
        has_code = 1
        if (token == "'") {
            match(line, /^'(\\[^']*'|\\'.|[^\\']+')?/)
            # A match with a separator in it is not a character but the text between two lifetimes.
            line = substr(line, RLENGTH > 1 && RLENGTH < 13 && substr(line, 1, RLENGTH) !~ /[ ,<>]./ ? RLENGTH + 1 : 2)
        } else {
            end_of_paragraph()
            quote = "\""
            if (match(before, /(^|[^A-Za-z0-9_])b?r#*$/)) {
                token = substr(before, RSTART)
                gsub(/[^#]/, "", token)
                quote = "\"" token
                raw = 1
            } else raw = 0
            line = substr(line, 2)
        }
    }
    if (has_code || line ~ /[^ \t]/ || quote == "") end_of_paragraph()
}

# Where the open literal ends in this line, or 0.
function end_of_literal(line,    at, skipped) {
    if (raw) return index(line, quote)
    at = 1
    while (match(substr(line, at), /\\.|"/)) {
        skipped = at + RSTART - 1
        if (substr(line, skipped, 1) == "\"") return skipped
        at = skipped + RLENGTH
    }
    return 0
}

# The text of a literal is prose if it has words; `\n` and the like are not words.
function literal(text) {
    gsub(/\\[nrt0]/, "  ", text)
    sub(/\\$/, " ", text)
    if (text ~ /[A-Za-z,] +[A-Za-z{]/) prose(text, "literal")
}

# A line of Markdown, in a file or in a doc comment. In fenced code only the comments are prose.
function markdown_line(line, from,    text) {
    text = line
    sub(/^[ \t]+/, "", text)
    if (text ~ /^```/) {
        end_of_paragraph()
        if (fence != "") { fence = ""; return }
        fence = substr(text, 4)
        if (fence == "") fence = from == "md" ? "text" : "rust"
        return
    }
    if (fence != "") {
        if (fence ~ /^(sh|console|bash|toml)/) comment_line(line, "#")
        else if (fence !~ /^text/) comment_line(line, "//")
        return
    }
    if (text ~ /^#+ /) { end_of_paragraph(); return }
    prose(line, from)
}

# Adds a line to the paragraph. An empty line, a list item and each cell of a table start a new one.
function prose(line, from,    text, cells, count, i) {
    sub(/[ \t]+$/, "", line)
    text = line
    sub(/^[ \t]+/, "", text)
    if (from != last_from || text == "" || text ~ /^([-*] |[0-9]+\. |\|)/) end_of_paragraph()
    last_from = from
    if (text == "") return
    if (text ~ /^\|/) {
        count = split(text, cells, "|")
        for (i = 2; i < count; i++) { add_piece(cells[i]); end_of_paragraph() }
        return
    }
    sub(/^([-*]|[0-9]+\.) /, "", text)
    add_piece(text)
}

function add_piece(text) {
    sub(/^ +/, "", text)
    file = FILENAME
    starts[++pieces] = length(paragraph) + 1
    lines[pieces] = FNR
    paragraph = paragraph text " "
}

function end_of_paragraph(    masked, lower, i) {
    if (pieces) {
        old_names_in_prose(paragraph)
        masked = masked_code(paragraph)
        lower = tolower(masked)
        for (i = 1; i <= allowances; i++) lower = blanked(lower, allowed[i])
        for (i = 1; i <= rules; i++) apply(i, " " (keeps_case[i] ? masked : lower))
    }
    pieces = 0
    paragraph = ""
}

# `text` is the paragraph after a space, so a place in it is one more than in the paragraph.
function apply(i, text,    at, start, last) {
    at = 1
    while (match(substr(text, at), patterns[i])) {
        start = at + RSTART - 1
        last = start + RLENGTH - 1
        # The line is that of the end of the match, where the word is.
        if (!(of_question[i] && is_question(text, start + 2)) && !(keeps_case[i] && is_title(text, start)))
            report(names[i], last - 2)
        at = last
    }
}

function is_question(text, at) {
    return match(substr(text, at), /[.!?]["*_)]*( |$)/) && substr(text, at + RSTART - 1, 1) == "?"
}

# A doc may start with a title instead of a sentence: `What a reader selects.` A second form of "to be" makes it a sentence with
# a subject: `What was cut is freed at once.`
function is_title(text, at,    sentence) {
    if (last_from !~ /^\/\// || at > 1 || text !~ /^ *What /) return 0
    match(text, /[.!?:]( |$)/)
    sentence = RSTART ? substr(text, 1, RSTART) : text
    return gsub(/ (is|are|was|were) /, " ", sentence) < 2
}

# Replaces each letter of code and of link targets, so that the length stays the same.
function masked_code(text) {
    text = blanked(text, "``[^`]*``|`[^`]*`")
    text = blanked(text, "\\]\\([^)]*\\)|https?:[^ )>]*")
    return text
}

function blanked(text, pattern,    at, start, masks) {
    at = 1
    while (match(substr(text, at), pattern)) {
        start = at + RSTART - 1
        masks = substr(text, start, RLENGTH)
        gsub(/[^ ]/, "#", masks)
        gsub(/ /, "#", masks)
        # Spaces at the ends stay, since the next pattern needs them.
        if (substr(text, start, 1) == " ") masks = " " substr(masks, 2)
        if (substr(text, start + RLENGTH - 1, 1) == " ") masks = substr(masks, 1, length(masks) - 1) " "
        text = substr(text, 1, start - 1) masks substr(text, start + RLENGTH)
        at = start + RLENGTH
    }
    return text
}

# Checks the names in the code of `src`. Comments and literals are not part of `text`.
function code(text,    at, name) {
    if (!in_src) return
    at = 1
    while (match(substr(text, at), /[A-Za-z_][A-Za-z0-9_]*/)) {
        name = substr(text, at + RSTART - 1, RLENGTH)
        at = at + RSTART - 1 + RLENGTH
        if (name in old) tell(FILENAME, FNR, "the old name " name ": say " old[name], text)
    }
}

# Checks the names between backticks.
function old_names_in_prose(text,    at, start, span, words, count, i) {
    at = 1
    while (match(substr(text, at), /`[^`]*`/)) {
        start = at + RSTART - 1
        span = substr(text, start, RLENGTH)
        at = start + RLENGTH
        count = split(span, words, /[^A-Za-z0-9_]+/)
        for (i = 1; i <= count; i++) if (words[i] in old) report("the old name " words[i] ": say " old[words[i]], start)
    }
}

# Prints the sentence around a place in the paragraph.
function report(name, place,    i, line, start, end, text) {
    line = lines[1]
    for (i = 1; i <= pieces; i++) if (starts[i] <= place) line = lines[i]
    start = 1
    text = paragraph
    while (match(substr(text, start), /[.!?]["*_)]*( |$)/)) {
        end = start + RSTART + RLENGTH - 2
        if (end >= place) break
        start = end + 1
    }
    if (end < place) end = length(text)
    tell(file, line, name, substr(text, start, end - start + 1))
}

function tell(path, line, name, sentence) {
    sub(/^[ \t]+/, "", sentence)
    sub(/[ \t]+$/, "", sentence)
    printf "%s:%d: %s: %s\n", path, line, name, sentence
    found++
}

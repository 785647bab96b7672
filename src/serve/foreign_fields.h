// Fields of other servers, and options of OpenAI's and Anthropic's APIs that this server lacks: rows for the tables of
// all APIs. A field that the server cannot honour is refused in every API, a harmless one in none. docs/serve.md lists
// them.
#pragma once

#include "serve/fields.h"

namespace glimmer::serve {

// Appended for those names that the table has no row of its own for:
//   what would bind the answer to a form: guided_json, grammar, response_format, ... Refused;
//   steps of sampling and ways of generating: typical_p, mirostat, dry_multiplier, use_beam_search, ... Refused but for
//   the values that switch them off; what only says how one of them works is ignored; how the other server keeps its
//   caches and slots: ignored; what changes the prompt or the form of the answer: refused.
void add_foreign_fields(FieldTable& table);

}  // namespace glimmer::serve

// The subcommands. Each reads its own flags, prints its results on standard output, throws an Error when it cannot go
// on, and returns the exit status: 0, 1 (failed), 2 (usage; by Error), 130 (interrupted).
#pragma once

#include "apps/flags.h"

namespace glimmer::apps {

int run_command(Arguments arguments);
int chat_command(Arguments arguments);
int serve_command(Arguments arguments);
int convert_command(Arguments arguments);
int inspect_command(Arguments arguments);
int tokenize_command(Arguments arguments);
int detokenize_command(Arguments arguments);
int render_command(Arguments arguments);
int logits_command(Arguments arguments);
int compare_command(Arguments arguments);
int eval_command(Arguments arguments);
int imatrix_command(Arguments arguments);
int bench_command(Arguments arguments);
int plan_command(Arguments arguments);
int models_command(Arguments arguments);

}  // namespace glimmer::apps

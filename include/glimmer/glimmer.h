/* Glimmer as a library: loads a model of the GLM-4 family and generates with it, in this process.
 *
 * Functions that can fail return a status; glimmer_last_error() then has one line that says what was read, expected and
 * found. No exception leaves the library, and bad input ends no process. Strings are UTF-8. Memory that a function
 * returns belongs to the object that it was asked of, as each says.
 *
 * Threads: a model may be used by any number of threads at once; their generations run as one batch. A generation is
 * used by one thread at a time, but for glimmer_generation_cancel(), which any thread may call.
 *
 * Options are structs that grow: initialise them with their _init function, which sets the defaults. */
#ifndef GLIMMER_GLIMMER_H
#define GLIMMER_GLIMMER_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GLIMMER_API __attribute__((visibility("default")))
#else
#define GLIMMER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum glimmer_status {
  GLIMMER_OK = 0,
  GLIMMER_USAGE,       /* an argument is wrong */
  GLIMMER_NOT_FOUND,   /* a file, folder or tensor is not there */
  GLIMMER_IO,          /* the operating system refused a read, write or map */
  GLIMMER_INVALID,     /* input is malformed */
  GLIMMER_UNSUPPORTED, /* well-formed, but not known or not done */
  GLIMMER_LIMIT,       /* a bound was reached: context length, a buffer's size, the queue */
  GLIMMER_MEMORY,      /* no memory left */
  GLIMMER_CANCELLED,   /* by a callback */
  GLIMMER_PEER,        /* another rank failed */
  GLIMMER_INTERNAL     /* a fault of the library */
} glimmer_status;

GLIMMER_API const char* glimmer_version(void);                      /* "0.1.0" */
GLIMMER_API const char* glimmer_status_name(glimmer_status status); /* "not found" */
/* What the last call of this thread that failed had to say. Valid until its next call; "" if none failed. */
GLIMMER_API const char* glimmer_last_error(void);

/* Receives each warning as one line without its end, on whichever thread it arises; calls do not overlap, and must not
 * call the library. After glimmer_set_log() the callback before is not called any more. Null: they go to standard
 * error, as at first. */
typedef void (*glimmer_log_callback)(const char* line, void* user);
GLIMMER_API void glimmer_set_log(glimmer_log_callback callback, void* user);

/* ---- models ---- */

typedef struct glimmer_model glimmer_model;

typedef struct glimmer_model_options {
  size_t struct_size;    /* set by glimmer_model_options_init */
  const char* backend;   /* kernels: "avx2", "avx512", "amx", ...; null: the fastest that the processor has */
  const char* precision; /* "fast" or "exact"; null: fast */
  const char* kv_type;   /* of the KV cache: "bf16", "f32", "int8", "fp8"; null: by precision */
  int32_t threads;       /* at most 1024; 0: all available CPUs */
  int64_t kv_bytes;      /* memory for the KV cache, taken as it fills; 0: half of what is available */
  int64_t max_sequences; /* that run at once; the others wait */
  /* Called while weights are loaded; a result other than 0 stops it with GLIMMER_CANCELLED. May be null. */
  int (*progress)(int64_t done_bytes, int64_t total_bytes, void* user);
  void* progress_user;
} glimmer_model_options;
GLIMMER_API void glimmer_model_options_init(glimmer_model_options* options);

/* A folder of Hugging Face's form, a GGUF file or a Distributed Llama file. Null options: the defaults. */
GLIMMER_API glimmer_status glimmer_model_load(const char* path, const glimmer_model_options* options,
                                              glimmer_model** model);
/* All its generations must have been freed. Null is legal. */
GLIMMER_API void glimmer_model_free(glimmer_model* model);

GLIMMER_API const char* glimmer_model_type(const glimmer_model* model);       /* of config.json: "glm4_moe_lite" */
GLIMMER_API int64_t glimmer_model_vocab_size(const glimmer_model* model);     /* length of a row of logits */
GLIMMER_API int64_t glimmer_model_context_tokens(const glimmer_model* model); /* the most of one sequence */
GLIMMER_API int glimmer_model_has_chat_template(const glimmer_model* model);  /* 0 or 1 */

/* ---- tokens ---- */

/* Encodes `size` bytes of text. Writes as many of the ids as `capacity` allows, and their number to `count`; when that
 * is more than `capacity`, returns GLIMMER_LIMIT. `parse_special`: names of special tokens in the text become those
 * tokens; not for text of users. */
GLIMMER_API glimmer_status glimmer_tokenize(const glimmer_model* model, const char* text, size_t size,
                                            int parse_special, int32_t* ids, size_t capacity, size_t* count);
/* Decodes ids, special tokens by their names. As above, in bytes; what it writes is not terminated, and need not be
 * UTF-8. */
GLIMMER_API glimmer_status glimmer_detokenize(const glimmer_model* model, const int32_t* ids, size_t count, char* text,
                                              size_t capacity, size_t* size);

/* The logits that follow each of the last `rows` of `count` ids: [rows, vocab_size] f32, `capacity` values at least.
 * Runs beside generations, one call at a time. */
GLIMMER_API glimmer_status glimmer_logits(glimmer_model* model, const int32_t* ids, size_t count, size_t rows,
                                          float* logits, size_t capacity);

/* ---- generation ---- */

typedef struct glimmer_generation glimmer_generation;

typedef struct glimmer_generate_options {
  size_t struct_size;
  int64_t max_tokens; /* -1: until the context is full */
  /* NaN, or -1 for top_k: as the model's makers recommend. */
  double temperature; /* 0: the likeliest token */
  double top_p;
  double min_p;
  int64_t top_k; /* 0: all */
  double repetition_penalty;
  double presence_penalty; /* 0: none */
  double frequency_penalty;
  int64_t seed; /* -1: another each time; the same seed gives the same text */
  /* The answer's text ends before the first of these. They do not count in reasoning or tool calls. */
  const char* const* stop;
  size_t stop_count;
  int ignore_eos; /* goes on behind the end of a turn */
} glimmer_generate_options;
GLIMMER_API void glimmer_generate_options_init(glimmer_generate_options* options);

/* Goes on with a text, in which the names of special tokens are those tokens; or with ids. Its events are
 * GLIMMER_CONTENT alone. Null options: the defaults. */
GLIMMER_API glimmer_status glimmer_complete(glimmer_model* model, const char* text, size_t size,
                                            const glimmer_generate_options* options, glimmer_generation** generation);
GLIMMER_API glimmer_status glimmer_complete_ids(glimmer_model* model, const int32_t* ids, size_t count,
                                                const glimmer_generate_options* options,
                                                glimmer_generation** generation);

/* Answers a conversation: a JSON object with these members, of which the first must be there.
 *   "messages"       a list of {"role": "system" | "user" | "assistant" | "tool", "content": text, and of the assistant
 *                    "reasoning_content": text, "tool_calls": [{"id", "function": {"name", "arguments"}}], of a tool
 *                    "tool_call_id"}
 *   "tools"          a list of {"type": "function", "function": {"name", "description", "parameters"}}
 *   "template_args"  an object of arguments of the chat template, as {"enable_thinking": false}
 *   "continue"       true: the answer goes on with the last message, which is the assistant's
 * What texts spell cannot become a control token. Other members are an error. */
GLIMMER_API glimmer_status glimmer_chat(glimmer_model* model, const char* json, size_t size,
                                        const glimmer_generate_options* options, glimmer_generation** generation);
/* The prompt of such a conversation, as glimmer_detokenize writes. */
GLIMMER_API glimmer_status glimmer_render(const glimmer_model* model, const char* json, size_t size, char* text,
                                          size_t capacity, size_t* text_size);

typedef enum glimmer_event_kind {
  GLIMMER_END = 0, /* nothing comes behind it; text: why, "stop", "stop_string", "tool_calls" or "length" */
  GLIMMER_CONTENT, /* of the answer */
  GLIMMER_REASONING,
  GLIMMER_TOOL_CALL_BEGIN,     /* text: the tool's name */
  GLIMMER_TOOL_CALL_ARGUMENTS, /* of the JSON object of its arguments */
  GLIMMER_TOOL_CALL_END        /* text: what the arguments lack to be JSON, where the call was cut off */
} glimmer_event_kind;

typedef struct glimmer_event {
  glimmer_event_kind kind;
  const char* text;    /* terminated, in whole characters; valid until the next call on the generation */
  size_t size;         /* in bytes */
  int32_t call;        /* of tool calls: which, from 0; else -1 */
  const char* call_id; /* of GLIMMER_TOOL_CALL_BEGIN; else null */
} glimmer_event;

/* The next piece of the answer; waits for it. After GLIMMER_END or a failure, that again. */
GLIMMER_API glimmer_status glimmer_generation_next(glimmer_generation* generation, glimmer_event* event);
/* Ends it soon: glimmer_generation_next(), if it waits or is called, then returns GLIMMER_CANCELLED. Any thread; no
 * effect once it has ended. */
GLIMMER_API void glimmer_generation_cancel(glimmer_generation* generation);

typedef struct glimmer_usage {
  size_t struct_size; /* to be set by the caller */
  int64_t prompt_tokens;
  int64_t cached_tokens;    /* of them, found in the prefix cache */
  int64_t generated_tokens; /* so far */
  int64_t reasoning_tokens; /* of those */
} glimmer_usage;
GLIMMER_API glimmer_status glimmer_generation_usage(const glimmer_generation* generation, glimmer_usage* usage);

/* Cancels it if it has not ended. Null is legal. */
GLIMMER_API void glimmer_generation_free(glimmer_generation* generation);

#ifdef __cplusplus
}
#endif

#endif

/* One question, one answer, printed as it comes:  hello MODEL "What is 17 + 25?" */
#include <glimmer/glimmer.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: hello MODEL PROMPT\n");
    return 2;
  }
  glimmer_model* model = NULL;
  if (glimmer_model_load(argv[1], NULL, &model) != GLIMMER_OK) {
    fprintf(stderr, "hello: %s\n", glimmer_last_error());
    return 1;
  }
  /* A prompt with control tokens of its own. For messages of users there is glimmer_chat(). */
  char prompt[4096];
  snprintf(prompt, sizeof prompt, "[gMASK]<sop><|user|>%s<|assistant|></think>", argv[2]);
  glimmer_generate_options options;
  glimmer_generate_options_init(&options);
  options.max_tokens = 100;
  options.temperature = 0;

  glimmer_generation* generation = NULL;
  glimmer_status status = glimmer_complete(model, prompt, strlen(prompt), &options, &generation);
  glimmer_event event;
  while (status == GLIMMER_OK && (status = glimmer_generation_next(generation, &event)) == GLIMMER_OK &&
         event.kind != GLIMMER_END) {
    fwrite(event.text, 1, event.size, stdout);
    fflush(stdout);
  }
  if (status != GLIMMER_OK) fprintf(stderr, "hello: %s\n", glimmer_last_error());
  printf("\n");
  glimmer_generation_free(generation);
  glimmer_model_free(model);
  return status == GLIMMER_OK ? 0 : 1;
}

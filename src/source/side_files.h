// The side files of an opened model, for readers that do not know of sources.
#pragma once

#include "base/side_files.h"
#include "source/model_source.h"

namespace glimmer {

// `source` must outlive it.
inline SideFiles side_files_of(const ModelSource& source) {
  return {.model = source.path().string(),
          .read = [&source](std::string_view name) { return source.side_file(name); },
          .label = [&source](std::string_view name) { return source.side_file_label(name); }};
}

}  // namespace glimmer

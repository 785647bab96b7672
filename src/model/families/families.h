// The families, for registry.cc.
#pragma once

#include "model/family.h"

namespace glimmer {

extern const Family kGlm;
extern const Family kGlm4;
extern const Family kGlm4Moe;
extern const Family kGlm4MoeLite;
extern const Family kLlama;
extern const Family kQwen3;
extern const Family kQwen3Moe;

}  // namespace glimmer

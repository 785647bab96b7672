// The cards of each family, for registry.cc.
#pragma once

#include <span>

#include "model/cards/cards.h"

namespace glimmer {

std::span<const ModelCard> glm4_moe_cards();
std::span<const ModelCard> glm4_moe_lite_cards();
std::span<const ModelCard> dense_glm_cards();

}  // namespace glimmer

// TensorView: borrowed memory with a type and a shape, dense and row-major. Tensor: the same with its memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace glimmer {

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::kBF16;
};

template <typename Void>
struct BasicTensorView {
  Void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  bool empty() const { return data == nullptr; }
  size_t size_bytes() const { return dtype_bytes(dtype, shape.element_count()); }

  // CHECKs that the type is T.
  template <typename T>
  auto* as() const {
    GLIMMER_CHECK(dtype == DTypeOf<T>::value, "tensor is {}, asked for {}", dtype_name(dtype),
                  dtype_name(DTypeOf<T>::value));
    if constexpr (std::is_const_v<Void>) {
      return static_cast<const T*>(data);
    } else {
      return static_cast<T*>(data);
    }
  }
};

using TensorView = BasicTensorView<void>;

struct ConstTensorView : BasicTensorView<const void> {
  ConstTensorView() = default;
  ConstTensorView(const void* bytes, DType type, Shape extents) : BasicTensorView{bytes, type, extents} {}
  ConstTensorView(const TensorView& view) : BasicTensorView{view.data, view.dtype, view.shape} {}  // NOLINT: implicit
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, Shape shape) : Tensor(host_memory(), dtype, shape) {}
  // The memory must outlive the tensor.
  Tensor(Memory& memory, DType dtype, Shape shape)
      : buffer_(memory, dtype_bytes(dtype, shape.element_count())), dtype_(dtype), shape_(shape) {}

  TensorView view() { return {buffer_.as<void>(), dtype_, shape_}; }
  ConstTensorView view() const { return {buffer_.as<void>(), dtype_, shape_}; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t size_bytes() const { return buffer_.size_bytes(); }
  template <typename T>
  T* as() {
    return view().as<T>();
  }
  template <typename T>
  const T* as() const {
    return view().as<T>();
  }

 private:
  Buffer buffer_;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

}  // namespace glimmer

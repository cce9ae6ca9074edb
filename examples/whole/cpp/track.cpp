// Track plain frames with the whole graph: onnxruntime alone.
//
//   track hand.onnx demo.raw 320 240 285 285 160 120
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr int kJoints = 21, kIndexTip = 8;

// The path's characters are wide on Windows.
std::basic_string<ORTCHAR_T> path_of(const char* text) {
  const std::string plain(text);
  return {plain.begin(), plain.end()};
}

struct Program {
  int width, height;
  std::array<float, 4> intrinsics;  // fx, fy, cx, cy
};

// One frame: prints its hands, and leaves in `state` what the next frame needs.
void track(Ort::Session& session, const Program& program, std::vector<float>& depth_mm,
           const std::vector<std::int64_t>& state_shape, std::vector<float>& state, int number) {
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<std::int64_t, 2> depth_shape{program.height, program.width};
  const std::array<std::int64_t, 1> camera_shape{4};
  auto intrinsics = program.intrinsics;
  const std::array<Ort::Value, 3> inputs{
      Ort::Value::CreateTensor<float>(memory, depth_mm.data(), depth_mm.size(),
                                      depth_shape.data(), depth_shape.size()),
      Ort::Value::CreateTensor<float>(memory, intrinsics.data(), intrinsics.size(),
                                      camera_shape.data(), camera_shape.size()),
      Ort::Value::CreateTensor<float>(memory, state.data(), state.size(), state_shape.data(),
                                      state_shape.size())};
  const std::array<const char*, 3> input_names{"depth", "intrinsics", "state"};
  const std::array<const char*, 5> output_names{"joints_mm", "found", "left", "presence",
                                                "new_state"};
  auto out = session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(),
                         inputs.size(), output_names.data(), output_names.size());

  const float* joints_mm = out[0].GetTensorData<float>();
  const bool* found = out[1].GetTensorData<bool>();
  const bool* left = out[2].GetTensorData<bool>();
  const float* presence = out[3].GetTensorData<float>();
  const float* next = out[4].GetTensorData<float>();
  for (int hand = 0; hand < state_shape[0]; ++hand) {
    if (!found[hand]) {
      std::printf("%d %d lost\n", number, hand);
      continue;
    }
    const float* tip = joints_mm + (hand * kJoints + kIndexTip) * 3;
    std::printf("%d %d %s %.3f %.2f %.2f %.2f\n", number, hand, left[hand] ? "left" : "right",
                presence[hand], tip[0], tip[1], tip[2]);
  }
  state.assign(next, next + state.size());
}

}  // namespace

int main(int count, char** words) {
  if (count != 9) {
    std::fprintf(stderr, "usage: track MODEL FRAMES WIDTH HEIGHT FX FY CX CY\n");
    return 2;
  }
  Program program{std::atoi(words[3]), std::atoi(words[4]), {}};
  for (int k = 0; k < 4; ++k) program.intrinsics[k] = std::strtof(words[5 + k], nullptr);
  std::ifstream file(words[2], std::ios::binary);
  const std::size_t pixels = static_cast<std::size_t>(program.width) * program.height;
  if (!file || pixels == 0) {
    std::fprintf(stderr, "error: %s: cannot be read, or the size is 0\n", words[2]);
    return 1;
  }
  try {
    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "track");
    Ort::Session session(env, path_of(words[1]).c_str(), Ort::SessionOptions{});
    const auto shape = session.GetInputTypeInfo(2).GetTensorTypeAndShapeInfo().GetShape();
    std::vector<float> state(static_cast<std::size_t>(shape[0] * shape[1]), 0.0f);  // a new stream
    std::vector<std::uint16_t> steps(pixels);
    const auto bytes = static_cast<std::streamsize>(pixels * sizeof(std::uint16_t));
    for (int number = 0; file.read(reinterpret_cast<char*>(steps.data()), bytes); ++number) {
      std::vector<float> depth_mm(steps.begin(), steps.end());  // here a step is 1 mm
      track(session, program, depth_mm, shape, state, number);
    }
  } catch (const Ort::Exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}

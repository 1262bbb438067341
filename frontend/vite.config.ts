import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows a running platform: MAREA_URL is the console's address that `scripts/up` prints.
const platform = process.env.MAREA_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": platform } },
  build: { target: "es2022", sourcemap: false, reportCompressedSize: true },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});

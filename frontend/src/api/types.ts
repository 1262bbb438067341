import type { components } from "./schema";

type Schemas = components["schemas"];
export type Change = Schemas["Change"];
export type Changes = Schemas["Changes"];
export type Cluster = Schemas["Cluster"];
export type Database = Schemas["Database"];
export type Hpa = Schemas["Hpa"];
export type KubeEvent = Schemas["Event"];
export type Node = Schemas["Node"];
export type NodePhase = Schemas["NodePhase"];
export type Overview = Schemas["Overview"];
export type Pod = Schemas["Pod"];
export type PodPhase = Schemas["PodPhase"];
export type Pool = Schemas["Pool"];
export type Reason = Schemas["Reason"];
export type Snapshot = Schemas["Snapshot"];
export type StackRecord = Schemas["StackRecord"];

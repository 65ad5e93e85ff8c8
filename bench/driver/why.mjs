// Why a target is missed, where that is known: shown in the report beside the figure while it is missed. By the target's id.
export const why = {};

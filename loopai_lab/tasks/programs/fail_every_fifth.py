if input_data["value"] % 5 == 0:
    raise ValueError(f"value {input_data['value']} is a multiple of five")
result = input_data["value"] * 2

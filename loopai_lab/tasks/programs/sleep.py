import time

time.sleep(input_data["seconds"])
result = input_data["value"] * 2
